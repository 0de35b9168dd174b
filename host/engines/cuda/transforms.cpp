#include "host/engines/cuda/transforms.h"

#include <algorithm>

#include "host/core/require.h"

namespace lexiscope::cuda {

Transforms::Transforms(std::shared_ptr<Device> device, MemoryPool& pool, const Stream& stream, const TsneGrid& grid,
                       unsigned dimensions)
    : device_(std::move(device)) {
  try {
    make(stream, pool, grid, dimensions);
  } catch (...) {
    destroy();
    throw;
  }
}

Transforms::~Transforms() { destroy(); }

void Transforms::make(const Stream& stream, MemoryPool& pool, const TsneGrid& grid, unsigned dimensions) {
  const int rank = static_cast<int>(dimensions), rows = static_cast<int>(grid.rows());
  int lengths[3], reals[3], frequencies[3];  // from the outermost axis to x
  for (int axis = 0; axis < rank; ++axis)
    lengths[axis] = reals[axis] = frequencies[axis] = static_cast<int>(grid.lengths[rank - 1 - axis]);
  reals[rank - 1] = static_cast<int>(grid.row_floats());
  frequencies[rank - 1] = static_cast<int>(grid.frequencies());
  std::size_t forward_bytes = 0, backward_bytes = 0;
  for (const bool forward : {true, false}) {
    cufftHandle& handle = forward ? handles_.forward : handles_.backward;
    int *const from = forward ? reals : frequencies, *const to = forward ? frequencies : reals;
    check(cufftCreate(&handle), "cufftCreate");
    check(cufftSetAutoAllocation(handle, 0), "cufftSetAutoAllocation");
    check(cufftMakePlanMany(handle, rank, lengths, from, 1, rows * from[rank - 1], to, 1, rows * to[rank - 1],
                            forward ? CUFFT_R2C : CUFFT_C2R, 1, forward ? &forward_bytes : &backward_bytes),
          "cufftMakePlanMany");
    check(cufftSetStream(handle, stream.handle()), "cufftSetStream");
  }
  work_area_ = pool.allocate(std::max(forward_bytes, backward_bytes));
  check(cufftSetWorkArea(handles_.forward, work_area_.get()), "cufftSetWorkArea");
  check(cufftSetWorkArea(handles_.backward, work_area_.get()), "cufftSetWorkArea");
}

void Transforms::check(cufftResult status, std::string_view call) const {
  if (status == CUFFT_SUCCESS) return;
  device_->note_failure();
  fail(status == CUFFT_ALLOC_FAILED ? ErrorCode::kOutOfMemory : ErrorCode::kDevice,
       "{} failed on device {} ({}): cuFFT's error {}", call, device_->index(), device_->properties().name,
       static_cast<int>(status));
}

void Transforms::destroy() noexcept {
  for (const cufftHandle handle : {handles_.forward, handles_.backward})
    if (handle != CUFFT_PLAN_NULL && cufftDestroy(handle) != CUFFT_SUCCESS) device_->note_failure();
}

}  // namespace lexiscope::cuda
