// All that the emulated runtime holds: one device, as a process has one CUDA runtime.
#pragma once

#include <atomic>
#include <cstddef>
#include <map>
#include <mutex>

#include "simt/runtime.h"
#include "simt/runtime_errors.h"
#include "simt/runtime_failures.h"
#include "simt/runtime_graphs.h"
#include "simt/runtime_memory.h"
#include "simt/runtime_streams.h"
#include "simt/runtime_tasks.h"

namespace lexiscope::simt {

/// The device that calls see, and what launchers have set for their kernels.
class Device {
 public:
  void show(Architecture architecture);
  Architecture architecture() const;
  cudaDeviceProp properties() const;

  int count() const;
  void set_count(int count);
  int driver_version() const;
  void set_driver_version(int version);
  /// What every call returns where no device can be used.
  cudaError_t availability() const;

  /// Dynamic shared memory that a launch of `kernel` may ask for.
  std::size_t max_shared_bytes(const void* kernel) const;
  void set_max_shared_bytes(const void* kernel, std::size_t bytes);
  void clear_kernels();

 private:
  mutable std::mutex mutex_;
  Architecture architecture_ = Architecture::kSm80;
  int count_ = 1;
  int driver_version_ = CUDART_VERSION;
  std::map<const void*, std::size_t> max_shared_bytes_;
};

struct Runtime {
  Runtime() { memory.set_limit(kDefaultMemoryBytes); }

  /// Waits as a synchronising call does, and returns what that call returns.
  cudaError_t wait(const TaskPointer& task);
  cudaError_t wait_for_all();

  FailurePlan failures;
  Errors errors;
  Device device;
  DeviceMemory memory;
  PinnedMemory pinned;
  TaskGraph tasks{memory, errors};
  Streams streams{tasks};
  Graphs graphs;
  std::atomic<std::size_t> launches{0};
  std::atomic<std::size_t> synchronizations{0};
  std::atomic<std::size_t> blas_handles{0};
  std::atomic<std::size_t> blas_descriptors{0};
  std::atomic<std::size_t> solver_handles{0};
  std::atomic<int> next_eigen_info{0};
  std::atomic<std::size_t> fft_plans{0};
};

Runtime& runtime();

}  // namespace lexiscope::simt
