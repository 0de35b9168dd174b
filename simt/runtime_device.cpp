// Entry points about the device itself: how many, which one, its properties, versions.
#include <cuda_runtime_api.h>

#include "simt/runtime_call.h"
#include "simt/runtime_devices.h"

using namespace lexiscope::simt;

namespace {

void require_device(int device) { require(device == 0, cudaErrorInvalidDevice); }

}  // namespace

cudaError_t cudaGetDeviceCount(int* count) {
  return call("cudaGetDeviceCount", [&] {
    require(count != nullptr, cudaErrorInvalidValue);
    *count = runtime().device.count();
    return cudaSuccess;
  });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return call("cudaGetDeviceProperties", [&] {
    require(properties != nullptr, cudaErrorInvalidValue);
    require_device(device);
    *properties = runtime().device.properties();
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  return call("cudaDeviceGetAttribute", [&] {
    require(value != nullptr, cudaErrorInvalidValue);
    require_device(device);
    const Device& shown = runtime().device;
    const auto found = device_attribute(shown.architecture(), shown.properties(), attribute);
    require(found.has_value(), cudaErrorInvalidValue);
    *value = *found;
    return cudaSuccess;
  });
}

cudaError_t cudaSetDevice(int device) {
  return call("cudaSetDevice", [&] {
    require_device(device);
    return cudaSuccess;
  });
}

cudaError_t cudaGetDevice(int* device) {
  return call("cudaGetDevice", [&] {
    require(device != nullptr, cudaErrorInvalidValue);
    *device = 0;
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceSynchronize() {
  return call("cudaDeviceSynchronize", [] {
    runtime().streams.refuse_while_capturing();
    return runtime().wait_for_all();
  });
}

// The two versions can be asked for on a machine without a device.
cudaError_t cudaDriverGetVersion(int* version) {
  return remember(result_of([&] {
    if (const auto failure = runtime().failures.next("cudaDriverGetVersion", cudaErrorUnknown))
      return static_cast<cudaError_t>(*failure);
    require(version != nullptr, cudaErrorInvalidValue);
    *version = runtime().device.driver_version();
    return cudaSuccess;
  }));
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  return remember(result_of([&] {
    if (const auto failure = runtime().failures.next("cudaRuntimeGetVersion", cudaErrorUnknown))
      return static_cast<cudaError_t>(*failure);
    require(version != nullptr, cudaErrorInvalidValue);
    *version = CUDART_VERSION;
    return cudaSuccess;
  }));
}
