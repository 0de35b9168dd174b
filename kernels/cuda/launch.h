// The one way to launch a kernel: ordinary C++ in place of <<<>>>, so that a host compiler builds launchers for the
// emulator too.
#pragma once

#include <cstddef>
#include <string>
#include <utility>

#include "lexiscope/error.h"
#include "simt/cuda.h"

namespace lexiscope::cuda {

struct LaunchShape {
  dim3 blocks;
  dim3 threads;
  std::size_t shared_bytes = 0;  ///< dynamic shared memory a block
};

namespace detail {
[[noreturn]] inline void refuse_launch(const char* name, const LaunchShape& shape, cudaError_t status) {
  const auto text = [](dim3 size) {
    return std::to_string(size.x) + " x " + std::to_string(size.y) + " x " + std::to_string(size.z);
  };
  throw Error(ErrorCode::kDevice, std::string(name) + ": a launch of " + text(shape.blocks) + " blocks of " +
                                      text(shape.threads) + " threads with " + std::to_string(shape.shared_bytes) +
                                      " bytes of shared memory was refused: " + cudaGetErrorString(status));
}
}  // namespace detail

/// Enqueues `kernel(arguments...)` on `stream`. Throws Error{kDevice} naming the kernel where the launch is refused.
/// `name` is a literal.
template <typename... Parameters, typename... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), const LaunchShape& shape, cudaStream_t stream,
            Arguments&&... arguments) {
  static_assert(sizeof...(Parameters) == sizeof...(Arguments), "one argument for each parameter");
  constexpr std::size_t kSharedWithoutAsking = 48 * 1024;
  const auto* function = reinterpret_cast<const void*>(kernel);
#if !defined(__CUDACC__)
  simt::register_kernel(name, kernel);
#endif
  if (shape.shared_bytes > kSharedWithoutAsking) {
    const cudaError_t status = cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                    static_cast<int>(shape.shared_bytes));
    if (status != cudaSuccess) detail::refuse_launch(name, shape, status);
  }
  // By place: its members' names are macros of the emulator.
  const cudaLaunchConfig_t config{shape.blocks, shape.threads, shape.shared_bytes, stream, nullptr, 0};
  // Each argument as the parameter's own type: the device reads exactly those bytes.
  const auto enqueue = [&](Parameters... values) {
    void* pointers[] = {static_cast<void*>(&values)..., nullptr};
    return cudaLaunchKernelExC(&config, function, pointers);
  };
  const cudaError_t status = enqueue(std::forward<Arguments>(arguments)...);
  if (status != cudaSuccess) detail::refuse_launch(name, shape, status);
}

}  // namespace lexiscope::cuda
