#include "host/engines/cuda/availability.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "host/engines/cuda/device.h"

namespace lexiscope::cuda {
namespace {

constexpr std::array kBuiltArchitectures{LEXISCOPE_CUDA_ARCHITECTURES};
static_assert(std::ranges::is_sorted(kBuiltArchitectures));

// CUDA writes version 13.1 as 13010.
std::string version_text(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

// The same error stands for a driver that is missing and for one that is too old: only its version tells them apart.
std::string reason_of_insufficient_driver() {
  int driver = 0, runtime = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) return "no NVIDIA driver";
  cudaRuntimeGetVersion(&runtime);
  return fmt::format("the NVIDIA driver is too old: it knows CUDA {}, version {} is needed", version_text(driver),
                     version_text(runtime));
}

std::string reason_of(cudaError_t status) {
  if (status == cudaErrorInsufficientDriver) return reason_of_insufficient_driver();
  if (status == cudaErrorNoDevice) return "no CUDA device";
  return fmt::format("cudaGetDeviceCount failed: {}", describe(status));
}

}  // namespace

std::span<const int> built_architectures() noexcept { return kBuiltArchitectures; }

bool has_code_for(int major, int minor, std::span<const int> built) noexcept {
  const auto runs = [&](int architecture) { return architecture / 10 == major && architecture % 10 <= minor; };
  return std::ranges::any_of(built, runs) || (!built.empty() && built.back() <= 10 * major + minor);
}

DeviceSearch find_device(std::span<const int> built) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) {
    cudaGetLastError();  // told here, and no later call's concern
    return {.reason = reason_of(status)};
  }
  std::string without_code;
  for (int index = 0; index < count; ++index) {
    cudaDeviceProp properties{};
    if (const cudaError_t failure = cudaGetDeviceProperties(&properties, index); failure != cudaSuccess) {
      cudaGetLastError();
      return {.reason = fmt::format("cudaGetDeviceProperties failed on device {}: {}", index, describe(failure))};
    }
    if (has_code_for(properties.major, properties.minor, built)) return {.index = index};
    without_code += fmt::format("{}{} of compute capability {}.{}", without_code.empty() ? "" : ", ", properties.name,
                                properties.major, properties.minor);
  }
  if (count == 0) return {.reason = "no CUDA device"};
  return {.reason = fmt::format("no code for {}: the kernels were built for architectures {}", without_code,
                                fmt::join(built, ", "))};
}

}  // namespace lexiscope::cuda
