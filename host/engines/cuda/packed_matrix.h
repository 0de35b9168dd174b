// The weight matrices that the cuda engine holds, in the layout of kernels/cuda/packed_weights.h.
#pragma once

#include "host/engines/cuda/memory_pool.h"
#include "host/engines/cuda/stream.h"
#include "kernels/cuda/packed_weights.h"
#include "lexiscope/ops/linear.h"

namespace lexiscope::cuda {

class CudaPackedMatrix final : public PackedMatrix {
 public:
  CudaPackedMatrix(MatrixView<const float> weight, DType precision, std::string_view engine, MemoryPool& pool,
                   Stream& stream);
  const PackedWeights& weights() const noexcept { return weights_; }

 private:
  PackedWeights weights_;
  std::shared_ptr<void> storage_;
};

}  // namespace lexiscope::cuda
