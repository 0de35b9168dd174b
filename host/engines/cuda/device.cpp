#include "host/engines/cuda/device.h"

#include "host/core/require.h"

namespace lexiscope::cuda {

std::string describe(cudaError_t status) {
  return fmt::format("{} ({})", cudaGetErrorName(status), cudaGetErrorString(status));
}

Device::Device(int index) : index_(index) {
  check(cudaGetDeviceProperties(&properties_, index), "cudaGetDeviceProperties");
  enter();
}

void Device::enter() {
  if (!broken_by_.empty())
    fail(ErrorCode::kDevice, "device {} ({}) is unusable since an earlier error: {}", index_, properties_.name,
         broken_by_);
  check(cudaSetDevice(index_), "cudaSetDevice");
}

void Device::check(cudaError_t status, std::string_view call) {
  if (status == cudaSuccess) return;
  note_failure();
  fail(status == cudaErrorMemoryAllocation ? ErrorCode::kOutOfMemory : ErrorCode::kDevice,
       "{} failed on device {} ({}): {}", call, index_, properties_.name, describe(status));
}

void Device::note_failure() noexcept {
  cudaGetLastError();  // forgets an error that concerned one call alone
  const cudaError_t status = cudaFree(nullptr);
  if (status != cudaSuccess && broken_by_.empty()) broken_by_ = describe(status);
}

}  // namespace lexiscope::cuda
