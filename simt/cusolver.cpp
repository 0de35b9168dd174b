// cuSOLVER: the dense handle, and the symmetric eigenproblem in double through LAPACK. It really uses the workspaces
// that it asks for, on the device and on the host, when it executes.
#include <cusolverDn.h>
#include <lapacke.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "simt/cublas_call.h"

extern "C" void openblas_set_num_threads(int);

struct cusolverDnContext {
  cudaStream_t stream = nullptr;
};

struct cusolverDnParams {};

using namespace lexiscope::simt;

namespace {

using SolverRefusal = LibraryRefusal<cusolverStatus_t>;

Handles<cusolverDnContext>& solver_handles() {
  static auto* const handles = std::make_unique<Handles<cusolverDnContext>>(runtime().solver_handles).release();
  return *handles;
}

Handles<cusolverDnParams>& parameter_handles() {
  static auto* const handles = std::make_unique<Handles<cusolverDnParams>>(runtime().solver_handles).release();
  return *handles;
}

cusolverDnContext& context_of(cusolverDnHandle_t handle) {
  return solver_handles().at(handle, CUSOLVER_STATUS_NOT_INITIALIZED);
}

cusolverStatus_t obstacle_of(const char* function) {
  if (const auto failure = runtime().failures.next(function, CUSOLVER_STATUS_INTERNAL_ERROR))
    return static_cast<cusolverStatus_t>(*failure);
  if (runtime().device.availability() != cudaSuccess) return CUSOLVER_STATUS_NOT_INITIALIZED;
  return runtime().errors.sticky() == cudaSuccess ? CUSOLVER_STATUS_SUCCESS : CUSOLVER_STATUS_EXECUTION_FAILED;
}

template <typename Body>
cusolverStatus_t status_of(Body&& body) noexcept {
  try {
    std::forward<Body>(body)();
    return CUSOLVER_STATUS_SUCCESS;
  } catch (const SolverRefusal& refusal) {
    return refusal.status;
  } catch (const Refusal&) {
    return CUSOLVER_STATUS_EXECUTION_FAILED;  // the runtime refused what cuSOLVER asked of it
  } catch (const std::bad_alloc&) {
    return CUSOLVER_STATUS_ALLOC_FAILED;
  } catch (...) {
    return CUSOLVER_STATUS_INTERNAL_ERROR;
  }
}

/// An entry point named `function` whose work is `body`.
template <typename Body>
cusolverStatus_t solver_call(const char* function, Body&& body) noexcept {
  return status_of([&] {
    const cusolverStatus_t obstacle = obstacle_of(function);
    require(obstacle == CUSOLVER_STATUS_SUCCESS, obstacle);
    body();
  });
}

/// One that releases something: it does so whatever else is wrong.
template <typename Body>
cusolverStatus_t solver_release_call(const char* function, Body&& body) noexcept {
  const cusolverStatus_t obstacle = obstacle_of(function);
  const cusolverStatus_t released = status_of(std::forward<Body>(body));
  return obstacle == CUSOLVER_STATUS_SUCCESS ? released : obstacle;
}

struct Eigenproblem {
  cusolverEigMode_t mode;
  cublasFillMode_t triangle;
  std::int64_t n;
  double* matrix;
  std::int64_t leading_dimension;
  double* values;
};

void check(cusolverDnHandle_t handle, cusolverDnParams_t parameters, const Eigenproblem& problem, cudaDataType matrix,
           cudaDataType values, cudaDataType computed) {
  constexpr cusolverStatus_t kInvalid = CUSOLVER_STATUS_INVALID_VALUE;
  context_of(handle);
  parameter_handles().at(parameters, kInvalid);
  require(problem.mode == CUSOLVER_EIG_MODE_VECTOR || problem.mode == CUSOLVER_EIG_MODE_NOVECTOR, kInvalid);
  require(problem.triangle == CUBLAS_FILL_MODE_LOWER || problem.triangle == CUBLAS_FILL_MODE_UPPER, kInvalid);
  require(problem.n >= 0 && problem.leading_dimension >= std::max<std::int64_t>(1, problem.n), kInvalid);
  require(problem.n == 0 || (problem.matrix != nullptr && problem.values != nullptr), kInvalid);
  require(matrix == CUDA_R_64F && values == CUDA_R_64F && computed == CUDA_R_64F, CUSOLVER_STATUS_NOT_SUPPORTED);
}

// What dsyevd asks for where vectors are wanted.
std::int64_t scratch_doubles(std::int64_t n) { return 1 + 6 * n + 2 * n * n; }
std::int64_t scratch_integers(std::int64_t n) { return 3 + 5 * n; }

std::size_t device_workspace(std::int64_t n) {
  return static_cast<std::size_t>(scratch_doubles(n)) * sizeof(double) +
         static_cast<std::size_t>(scratch_integers(n)) * sizeof(lapack_int);
}

std::size_t host_workspace(std::int64_t n) { return static_cast<std::size_t>(n) * sizeof(double) + 1; }

void require_live(const char* what, const void* data, std::int64_t elements, std::size_t element) {
  if (!runtime().memory.live(data, static_cast<std::size_t>(elements) * element))
    throw DeviceFault(cudaErrorIllegalAddress,
                      std::string("cusolverDnXsyevd: ") + what + " does not lie in one allocation of the device");
}

void execute(const Eigenproblem& problem, std::byte* scratch, void* host_scratch, int* info) {
  const std::int64_t n = problem.n;
  require_live("A", problem.matrix, (n - 1) * problem.leading_dimension + n, sizeof(double));
  require_live("W", problem.values, n, sizeof(double));
  require_live("the workspace", scratch, static_cast<std::int64_t>(device_workspace(n)), 1);
  require_live("info", info, 1, sizeof(int));
  std::memset(host_scratch, 0xa5, host_workspace(n));  // ends badly where it is gone already
  openblas_set_num_threads(1);                         // the same bits on every machine
  auto* const doubles = reinterpret_cast<double*>(scratch);
  auto* const integers = reinterpret_cast<lapack_int*>(doubles + scratch_doubles(n));
  const lapack_int found = LAPACKE_dsyevd_work(
      LAPACK_COL_MAJOR, problem.mode == CUSOLVER_EIG_MODE_VECTOR ? 'V' : 'N',
      problem.triangle == CUBLAS_FILL_MODE_LOWER ? 'L' : 'U', static_cast<lapack_int>(n), problem.matrix,
      static_cast<lapack_int>(problem.leading_dimension), problem.values, doubles,
      static_cast<lapack_int>(scratch_doubles(n)), integers, static_cast<lapack_int>(scratch_integers(n)));
  const int told = runtime().next_eigen_info.exchange(0);
  *info = told != 0 ? told : static_cast<int>(found);
}

}  // namespace

cusolverStatus_t cusolverGetVersion(int* version) {
  if (version == nullptr) return CUSOLVER_STATUS_INVALID_VALUE;
  *version = CUSOLVER_VERSION;
  return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnCreate(cusolverDnHandle_t* handle) {
  return solver_call("cusolverDnCreate", [&] {
    require(handle != nullptr, CUSOLVER_STATUS_INVALID_VALUE);
    *handle = solver_handles().create();
  });
}

cusolverStatus_t cusolverDnDestroy(cusolverDnHandle_t handle) {
  return solver_release_call("cusolverDnDestroy",
                             [&] { solver_handles().destroy(handle, CUSOLVER_STATUS_NOT_INITIALIZED); });
}

cusolverStatus_t cusolverDnSetStream(cusolverDnHandle_t handle, cudaStream_t stream) {
  return solver_call("cusolverDnSetStream", [&] { context_of(handle).stream = stream; });
}

// Everything here is deterministic.
cusolverStatus_t cusolverDnSetDeterministicMode(cusolverDnHandle_t handle, cusolverDeterministicMode_t mode) {
  return solver_call("cusolverDnSetDeterministicMode", [&] {
    context_of(handle);
    require(mode == CUSOLVER_DETERMINISTIC_RESULTS || mode == CUSOLVER_ALLOW_NON_DETERMINISTIC_RESULTS,
            CUSOLVER_STATUS_INVALID_VALUE);
  });
}

cusolverStatus_t cusolverDnCreateParams(cusolverDnParams_t* parameters) {
  return solver_call("cusolverDnCreateParams", [&] {
    require(parameters != nullptr, CUSOLVER_STATUS_INVALID_VALUE);
    *parameters = parameter_handles().create();
  });
}

cusolverStatus_t cusolverDnDestroyParams(cusolverDnParams_t parameters) {
  return solver_release_call("cusolverDnDestroyParams",
                             [&] { parameter_handles().destroy(parameters, CUSOLVER_STATUS_INVALID_VALUE); });
}

cusolverStatus_t cusolverDnXsyevd_bufferSize(cusolverDnHandle_t handle, cusolverDnParams_t parameters,
                                             cusolverEigMode_t mode, cublasFillMode_t triangle, std::int64_t n,
                                             cudaDataType matrix_type, const void* matrix, std::int64_t lda,
                                             cudaDataType values_type, const void* values, cudaDataType computed,
                                             std::size_t* device_bytes, std::size_t* host_bytes) {
  return solver_call("cusolverDnXsyevd_bufferSize", [&] {
    check(handle, parameters,
          {mode, triangle, n, static_cast<double*>(const_cast<void*>(matrix)), lda,
           static_cast<double*>(const_cast<void*>(values))},
          matrix_type, values_type, computed);
    require(device_bytes != nullptr && host_bytes != nullptr, CUSOLVER_STATUS_INVALID_VALUE);
    *device_bytes = device_workspace(n);
    *host_bytes = host_workspace(n);
  });
}

// cuSOLVER's own may wait for the stream before it returns; here it never does, and the host's workspace is still used.
cusolverStatus_t cusolverDnXsyevd(cusolverDnHandle_t handle, cusolverDnParams_t parameters, cusolverEigMode_t mode,
                                  cublasFillMode_t triangle, std::int64_t n, cudaDataType matrix_type, void* matrix,
                                  std::int64_t lda, cudaDataType values_type, void* values, cudaDataType computed,
                                  void* scratch, std::size_t scratch_bytes, void* host_scratch, std::size_t host_bytes,
                                  int* info) {
  return solver_call("cusolverDnXsyevd", [&] {
    const Eigenproblem problem{mode, triangle, n, static_cast<double*>(matrix), lda, static_cast<double*>(values)};
    check(handle, parameters, problem, matrix_type, values_type, computed);
    require(scratch != nullptr && scratch_bytes >= device_workspace(n), CUSOLVER_STATUS_INVALID_VALUE);
    require(host_scratch != nullptr && host_bytes >= host_workspace(n), CUSOLVER_STATUS_INVALID_VALUE);
    require(info != nullptr, CUSOLVER_STATUS_INVALID_VALUE);
    if (n == 0) return;
    runtime().streams.enqueue(context_of(handle).stream,
                              [=] { execute(problem, static_cast<std::byte*>(scratch), host_scratch, info); });
  });
}
