// What every entry point of cuBLAS and cuBLASLt does before its own work, and the objects that they hand out; the
// latter for other libraries too.
#pragma once

#include <cublasLt.h>
#include <cublas_v2.h>

#include <atomic>
#include <concepts>
#include <memory>
#include <mutex>
#include <new>
#include <unordered_map>
#include <utility>

#include "simt/runtime_call.h"

struct cublasContext {
  cudaStream_t stream = nullptr;
  cublasMath_t math = CUBLAS_DEFAULT_MATH;
};

struct cublasLtContext {};

namespace lexiscope::simt {

/// Thrown inside an entry point of a library: the call returns this status.
template <typename Status>
struct LibraryRefusal {
  Status status;
};
using BlasRefusal = LibraryRefusal<cublasStatus_t>;

template <typename Status>
requires(!std::same_as<Status, cudaError_t>) void require(bool condition, Status otherwise) {
  if (!condition) throw LibraryRefusal<Status>{otherwise};
}

/// The live objects of one type, by the pointers that callers hold.
template <typename Object>
class Handles {
 public:
  explicit Handles(std::atomic<std::size_t>& count) : count_(count) {}

  Object* create() {
    const std::lock_guard lock(mutex_);
    auto object = std::make_unique<Object>();
    Object* handle = object.get();
    objects_.emplace(handle, std::move(object));
    ++count_;
    return handle;
  }

  /// Refused with `otherwise` where the handle is unknown, in destroy() too.
  template <typename Status>
  Object& at(Object* handle, Status otherwise) {
    const std::lock_guard lock(mutex_);
    const auto found = objects_.find(handle);
    require(found != objects_.end(), otherwise);
    return *found->second;
  }

  template <typename Status>
  void destroy(Object* handle, Status otherwise) {
    const std::lock_guard lock(mutex_);
    require(objects_.erase(handle) == 1, otherwise);
    --count_;
  }

 private:
  std::mutex mutex_;
  std::atomic<std::size_t>& count_;
  std::unordered_map<Object*, std::unique_ptr<Object>> objects_;
};

/// What stands in the way of a call.
inline cublasStatus_t blas_obstacle(const char* function) {
  if (const auto failure = runtime().failures.next(function, CUBLAS_STATUS_INTERNAL_ERROR))
    return static_cast<cublasStatus_t>(*failure);
  if (runtime().device.availability() != cudaSuccess) return CUBLAS_STATUS_NOT_INITIALIZED;
  return runtime().errors.sticky() == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

template <typename Body>
cublasStatus_t blas_status_of(Body&& body) noexcept {
  try {
    std::forward<Body>(body)();
    return CUBLAS_STATUS_SUCCESS;
  } catch (const BlasRefusal& refusal) {
    return refusal.status;
  } catch (const Refusal&) {
    return CUBLAS_STATUS_EXECUTION_FAILED;  // the runtime refused what cuBLAS asked of it
  } catch (const std::bad_alloc&) {
    return CUBLAS_STATUS_ALLOC_FAILED;
  } catch (...) {
    return CUBLAS_STATUS_INTERNAL_ERROR;
  }
}

/// An entry point named `function` whose work is `body`.
template <typename Body>
cublasStatus_t blas_call(const char* function, Body&& body) noexcept {
  return blas_status_of([&] {
    const cublasStatus_t obstacle = blas_obstacle(function);
    require(obstacle == CUBLAS_STATUS_SUCCESS, obstacle);
    body();
  });
}

/// One that releases something: it does so whatever else is wrong.
template <typename Body>
cublasStatus_t blas_release_call(const char* function, Body&& body) noexcept {
  const cublasStatus_t obstacle = blas_obstacle(function);
  const cublasStatus_t released = blas_status_of(std::forward<Body>(body));
  return obstacle == CUBLAS_STATUS_SUCCESS ? released : obstacle;
}

}  // namespace lexiscope::simt
