// What every entry point of the runtime does before and after its own work: a failure that a test asked for, the sticky
// error, no exception out of a C function, and the thread's last error.
#pragma once

#include <new>
#include <utility>

#include "simt/runtime_state.h"

namespace lexiscope::simt {

/// Thrown inside an entry point: the call returns this code.
struct Refusal {
  cudaError_t code;
};

inline void require(bool condition, cudaError_t otherwise) {
  if (!condition) throw Refusal{otherwise};
}

/// True on the device's thread while it runs a function of the host, which may not call CUDA.
bool& in_host_function();

template <typename Body>
cudaError_t result_of(Body&& body) noexcept {
  try {
    return std::forward<Body>(body)();
  } catch (const Refusal& refusal) {
    return refusal.code;
  } catch (const std::bad_alloc&) {
    return cudaErrorMemoryAllocation;
  } catch (...) {
    return cudaErrorUnknown;
  }
}

/// What stands in the way of a call: cudaSuccess where nothing does.
inline cudaError_t obstacle(const char* function) {
  if (const auto failure = runtime().failures.next(function, cudaErrorUnknown))
    return static_cast<cudaError_t>(*failure);
  if (in_host_function()) return cudaErrorNotPermitted;
  if (const auto unavailable = runtime().device.availability(); unavailable != cudaSuccess) return unavailable;
  return runtime().errors.sticky();
}

/// An entry point named `function` whose work is `body`.
template <typename Body>
cudaError_t call(const char* function, Body&& body) noexcept {
  return remember(result_of([&] {
    const cudaError_t code = obstacle(function);
    return code != cudaSuccess ? code : body();
  }));
}

/// One that releases something: it does so whatever else is wrong.
template <typename Body>
cudaError_t release_call(const char* function, Body&& body) noexcept {
  return remember(result_of([&] {
    const cudaError_t code = obstacle(function);
    if (code == cudaErrorNotPermitted) return code;
    const cudaError_t released = body();
    return code != cudaSuccess ? code : released;
  }));
}

}  // namespace lexiscope::simt
