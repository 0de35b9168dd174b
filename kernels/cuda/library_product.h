// A product that a library computes in place of the project's own kernels: for comparison, and for devices that the
// library knows better. What it cannot put behind its sums without loss, a kernel of ours adds in a pass of its own.
#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/packed_weights.h"
#include "kernels/cuda/piece_rows.h"
#include "lexiscope/tensor.h"

namespace lexiscope::cuda {

class LibraryProduct {
 public:
  LibraryProduct() = default;
  LibraryProduct(const LibraryProduct&) = delete;
  LibraryProduct& operator=(const LibraryProduct&) = delete;
  virtual ~LibraryProduct() = default;

  /// What follows the sums: y = sums + bias + residual. Bias and residual may be empty, residual may be y.
  struct Tail {
    VectorView<const float> bias;
    MatrixView<const float> residual;
    MatrixView<float> y;
  };

  /// x in the weight's type, sums in f32. Enqueues on `stream` and returns; everything points to device memory.
  virtual void multiply(const PieceMatrix& x, const PackedWeights& weight, const Tail& tail, cudaStream_t stream) = 0;
};

}  // namespace lexiscope::cuda
