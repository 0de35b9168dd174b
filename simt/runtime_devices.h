// What the runtime says of a device: the published figures of one card of each architecture.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <optional>

#include "simt/runtime.h"

namespace lexiscope::simt {

cudaDeviceProp device_properties(Architecture architecture, std::size_t memory_bytes);

/// None for an attribute that nothing here asks for.
std::optional<int> device_attribute(Architecture architecture, const cudaDeviceProp& properties, cudaDeviceAttr name);

}  // namespace lexiscope::simt
