// Whether a CUDA engine can run here, and why not.
#pragma once

#include <cuda_runtime_api.h>

#include <span>
#include <string>

namespace lexiscope::cuda {

/// The architectures that the kernels were built for, 80 for compute capability 8.0, ascending; the last of them as PTX
/// too, which a driver compiles for newer devices.
std::span<const int> built_architectures() noexcept;

/// Binary code serves devices of its major version and at least its minor one; PTX serves any from its version on.
bool has_code_for(int major, int minor, std::span<const int> built) noexcept;

struct DeviceSearch {
  int index = -1;        ///< of the first device that can be used; -1 for none
  std::string reason{};  ///< why none can: no driver, one that is too old, no device, no code for its architecture
};

DeviceSearch find_device(std::span<const int> built = built_architectures());

}  // namespace lexiscope::cuda
