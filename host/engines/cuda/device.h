// One GPU as the engine uses it: made current before each call, and every error of its runtime told with the call, the
// device and the error's name.
#pragma once

#include <cuda_runtime_api.h>

#include <string>
#include <string_view>

namespace lexiscope::cuda {

class Device {
 public:
  /// Throws Error{kDevice} where there is no device of that index.
  explicit Device(int index);

  int index() const noexcept { return index_; }
  const cudaDeviceProp& properties() const noexcept { return properties_; }

  /// Makes the device the calling thread's. Throws Error{kDevice} where an earlier error has left it unusable: such an
  /// error stays until the process ends, and what was computed since is lost.
  void enter();

  /// Throws Error{kDevice}, or Error{kOutOfMemory} for memory of any kind, unless `status` is success: "cudaMemcpyAsync
  /// failed on device 0 (NVIDIA H100): cudaErrorInvalidValue (invalid argument)".
  void check(cudaError_t status, std::string_view call);

  /// To be called after a failure that somebody else has told: finds out whether the device is usable still.
  void note_failure() noexcept;

  /// For destructors: nothing is thrown, and a failure is the next enter()'s.
  void ignore(cudaError_t status) noexcept {
    if (status != cudaSuccess) note_failure();
  }

 private:
  int index_;
  cudaDeviceProp properties_{};
  std::string broken_by_;  // the first error that stays, empty while there is none
};

/// "cudaErrorInvalidValue (invalid argument)".
std::string describe(cudaError_t status);

}  // namespace lexiscope::cuda
