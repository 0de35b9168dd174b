// The side of the emulated runtime that tests call: runtime.h.
#include <optional>

#include "simt/runtime.h"
#include "simt/runtime_call.h"
#include "simt/runtime_state.h"

namespace lexiscope::simt {

void set_device(Architecture architecture, std::size_t memory_bytes) {
  runtime().device.show(architecture);
  runtime().memory.set_limit(memory_bytes);
}

void set_device_count(int count) { runtime().device.set_count(count); }

void set_driver_version(int version) { runtime().device.set_driver_version(version); }

void set_memory_limit(std::size_t bytes) { runtime().memory.set_limit(bytes); }

void set_stream_schedule(StreamSchedule schedule) { runtime().tasks.set_schedule(schedule); }

void fail_call(const std::string& function, int nth, cudaError_t code) { runtime().failures.fail(function, nth, code); }

void fail_call(const std::string& function, int nth, cublasStatus_t code) {
  runtime().failures.fail(function, nth, code);
}

void fail_call(const std::string& function, int nth, cusolverStatus_t code) {
  runtime().failures.fail(function, nth, code);
}
void fail_call(const std::string& function, int nth, cufftResult code) { runtime().failures.fail(function, nth, code); }

void fail_call(int nth) { runtime().failures.fail(std::nullopt, nth, std::nullopt); }

void clear_failures() { runtime().failures.clear(); }

void set_next_eigen_info(int info) { runtime().next_eigen_info = info; }

Counters counters() {
  Runtime& state = runtime();
  const auto memory = state.memory.usage();
  return {.device_allocations = memory.allocations,
          .device_bytes = memory.bytes,
          .pinned_allocations = state.pinned.allocations(),
          .streams = state.streams.streams(),
          .events = state.streams.events(),
          .blas_handles = state.blas_handles,
          .blas_descriptors = state.blas_descriptors,
          .solver_handles = state.solver_handles,
          .graphs = state.graphs.count(),
          .fft_plans = state.fft_plans,
          .pending = state.tasks.pending(),
          .peak_device_bytes = memory.peak_bytes,
          .calls = state.failures.calls(),
          .allocations = memory.allocated,
          .launches = state.launches,
          .synchronizations = state.synchronizations};
}

std::string last_fault() { return runtime().errors.fault(); }

void reset() {
  Runtime& state = runtime();
  state.tasks.wait_for_all();
  state.streams.clear();
  state.graphs.clear();
  state.memory.free_all();
  state.pinned.free_all();
  state.errors.clear();
  last_error() = cudaSuccess;
  state.failures.clear();
  state.failures.clear_calls();
  state.memory.clear_history();
  state.launches = state.synchronizations = 0;
  state.next_eigen_info = 0;
  state.device.clear_kernels();
  set_device(Architecture::kSm80);
  set_device_count(1);
  set_driver_version(CUDART_VERSION);
  set_stream_schedule(StreamSchedule::kLazy);
}

}  // namespace lexiscope::simt
