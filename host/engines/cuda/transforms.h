// The FFTs of a charge grid, by cuFFT: one from reals to frequencies and one back, in place, with a work area from the
// engine's memory.
#pragma once

#include <memory>

#include "host/engines/cuda/device.h"
#include "host/engines/cuda/memory_pool.h"
#include "host/engines/cuda/stream.h"
#include "kernels/cuda/tsne_grid.h"

namespace lexiscope::cuda {

class Transforms {
 public:
  /// Throws Error{kDevice} or Error{kOutOfMemory}.
  Transforms(std::shared_ptr<Device> device, MemoryPool& pool, const Stream& stream, const TsneGrid& grid,
             unsigned dimensions);
  Transforms(const Transforms&) = delete;
  Transforms& operator=(const Transforms&) = delete;
  ~Transforms();

  const TsneTransforms& handles() const noexcept { return handles_; }

 private:
  void make(const Stream& stream, MemoryPool& pool, const TsneGrid& grid, unsigned dimensions);
  void check(cufftResult status, std::string_view call) const;
  void destroy() noexcept;

  std::shared_ptr<Device> device_;
  TsneTransforms handles_{CUFFT_PLAN_NULL, CUFFT_PLAN_NULL};
  std::shared_ptr<void> work_area_;  // of both: one runs after the other
};

}  // namespace lexiscope::cuda
