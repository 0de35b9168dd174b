#include "simt/runtime_state.h"

#include <memory>

#include "simt/runtime_call.h"
#include "simt/runtime_devices.h"

namespace lexiscope::simt {

// Never destroyed: objects that live as long as the program may call CUDA in their destructors, and the device's thread
// waits for work until the end.
Runtime& runtime() {
  static Runtime* const instance = std::make_unique<Runtime>().release();
  return *instance;
}

bool& in_host_function() {
  thread_local bool inside = false;
  return inside;
}

cudaError_t Runtime::wait(const TaskPointer& task) {
  ++synchronizations;
  tasks.wait(task);
  return errors.sticky();
}

cudaError_t Runtime::wait_for_all() {
  ++synchronizations;
  tasks.wait_for_all();
  return errors.sticky();
}

void Device::show(Architecture architecture) {
  const std::lock_guard lock(mutex_);
  architecture_ = architecture;
}

Architecture Device::architecture() const {
  const std::lock_guard lock(mutex_);
  return architecture_;
}

cudaDeviceProp Device::properties() const { return device_properties(architecture(), runtime().memory.usage().limit); }

int Device::count() const {
  const std::lock_guard lock(mutex_);
  return count_;
}

void Device::set_count(int count) {
  const std::lock_guard lock(mutex_);
  count_ = count;
}

int Device::driver_version() const {
  const std::lock_guard lock(mutex_);
  return driver_version_;
}

void Device::set_driver_version(int version) {
  const std::lock_guard lock(mutex_);
  driver_version_ = version;
}

cudaError_t Device::availability() const {
  constexpr int kVersionsOfOneMajor = 1000;
  // Drivers serve every runtime of their own major version and of earlier ones.
  if (driver_version() / kVersionsOfOneMajor < CUDART_VERSION / kVersionsOfOneMajor) return cudaErrorInsufficientDriver;
  return count() == 0 ? cudaErrorNoDevice : cudaSuccess;
}

std::size_t Device::max_shared_bytes(const void* kernel) const {
  const cudaDeviceProp shown = properties();
  const std::lock_guard lock(mutex_);
  const auto found = max_shared_bytes_.find(kernel);
  return found == max_shared_bytes_.end() ? shown.sharedMemPerBlock : found->second;
}

void Device::set_max_shared_bytes(const void* kernel, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  max_shared_bytes_[kernel] = bytes;
}

void Device::clear_kernels() {
  const std::lock_guard lock(mutex_);
  max_shared_bytes_.clear();
}

}  // namespace lexiscope::simt
