// Both libraries count a matrix by columns. What lies by rows is its transpose to them, which each call here allows
// for.
#include "host/engines/cuda/linear_algebra.h"

#include <algorithm>

#include "host/core/require.h"

namespace lexiscope::cuda {
namespace {

constexpr cusolverEigMode_t kWithVectors = CUSOLVER_EIG_MODE_VECTOR;
constexpr cublasFillMode_t kLowerByRows = CUBLAS_FILL_MODE_UPPER;
constexpr cublasFillMode_t kUpperByRows = CUBLAS_FILL_MODE_LOWER;

std::int64_t index(std::size_t value) { return static_cast<std::int64_t>(value); }

// One row has no stride of its own.
template <typename Element>
std::int64_t leading_dimension(const MatrixView<Element>& matrix) {
  return index(std::max<std::size_t>({matrix.stride, matrix.columns, 1}));
}

std::string_view describe(cusolverStatus_t status) {
  switch (status) {
    case CUSOLVER_STATUS_NOT_INITIALIZED:
      return "CUSOLVER_STATUS_NOT_INITIALIZED";
    case CUSOLVER_STATUS_ALLOC_FAILED:
      return "CUSOLVER_STATUS_ALLOC_FAILED";
    case CUSOLVER_STATUS_INVALID_VALUE:
      return "CUSOLVER_STATUS_INVALID_VALUE";
    case CUSOLVER_STATUS_ARCH_MISMATCH:
      return "CUSOLVER_STATUS_ARCH_MISMATCH";
    case CUSOLVER_STATUS_EXECUTION_FAILED:
      return "CUSOLVER_STATUS_EXECUTION_FAILED";
    case CUSOLVER_STATUS_INTERNAL_ERROR:
      return "CUSOLVER_STATUS_INTERNAL_ERROR";
    case CUSOLVER_STATUS_NOT_SUPPORTED:
      return "CUSOLVER_STATUS_NOT_SUPPORTED";
    default:
      return "a status without a name";
  }
}

}  // namespace

void LinearAlgebra::multiply(MatrixView<const double> a, MatrixView<const double> b, double* product) {
  const double one = 1, zero = 0;
  check(cublasDgemm_64(blas(), CUBLAS_OP_T, CUBLAS_OP_N, index(b.rows), index(a.rows), index(a.columns), &one, b.data,
                       leading_dimension(b), a.data, leading_dimension(a), &zero, product, index(b.rows)),
        "cublasDgemm_64");
}

void LinearAlgebra::add_outer_products(MatrixView<const double> x, bool first, MatrixView<double> sums) {
  const double one = 1, before = first ? 0 : 1;
  check(cublasDsyrk_64(blas(), kUpperByRows, CUBLAS_OP_N, index(x.columns), index(x.rows), &one, x.data,
                       leading_dimension(x), &before, sums.data, leading_dimension(sums)),
        "cublasDsyrk_64");
}

LinearAlgebra::EigenWorkspace LinearAlgebra::eigen_workspace(std::size_t d, double* matrix, double* values) {
  const cusolverDnHandle_t handle = solver();  // makes the parameters too
  EigenWorkspace bytes;
  const cusolverStatus_t status = cusolverDnXsyevd_bufferSize(
      handle, solver_parameters_.get(), kWithVectors, kLowerByRows, index(d), CUDA_R_64F, matrix, index(d), CUDA_R_64F,
      values, CUDA_R_64F, &bytes.device_bytes, &bytes.host_bytes);
  if (status == CUSOLVER_STATUS_INVALID_VALUE || status == CUSOLVER_STATUS_NOT_SUPPORTED)
    fail(ErrorCode::kUnsupported, "eigendecomposition: cuSOLVER does not take a matrix of [{}, {}] ({})", d, d,
         describe(status));
  check(status, "cusolverDnXsyevd_bufferSize");
  return bytes;
}

void LinearAlgebra::eigenvectors(std::size_t d, double* matrix, double* values, void* device_workspace,
                                 void* host_workspace, const EigenWorkspace& bytes, int* info) {
  const cusolverDnHandle_t handle = solver();
  check(cusolverDnXsyevd(handle, solver_parameters_.get(), kWithVectors, kLowerByRows, index(d), CUDA_R_64F, matrix,
                         index(d), CUDA_R_64F, values, CUDA_R_64F, device_workspace, bytes.device_bytes, host_workspace,
                         bytes.host_bytes, info),
        "cusolverDnXsyevd");
}

cublasHandle_t LinearAlgebra::blas() {
  if (!blas_) {
    cublasHandle_t made = nullptr;
    check(cublasCreate(&made), "cublasCreate");
    decltype(blas_) handle(made, cublasDestroy);
    check(cublasSetStream(made, stream_->handle()), "cublasSetStream");
    blas_ = std::move(handle);
  }
  return blas_.get();
}

cusolverDnHandle_t LinearAlgebra::solver() {
  if (!solver_) {
    cusolverDnHandle_t made = nullptr;
    check(cusolverDnCreate(&made), "cusolverDnCreate");
    decltype(solver_) handle(made, cusolverDnDestroy);
    cusolverDnParams_t parameters = nullptr;
    check(cusolverDnCreateParams(&parameters), "cusolverDnCreateParams");
    solver_parameters_.reset(parameters);
    check(cusolverDnSetStream(made, stream_->handle()), "cusolverDnSetStream");
    check(cusolverDnSetDeterministicMode(made, CUSOLVER_DETERMINISTIC_RESULTS), "cusolverDnSetDeterministicMode");
    solver_ = std::move(handle);
  }
  return solver_.get();
}

void LinearAlgebra::check(cublasStatus_t status, std::string_view call) {
  if (status != CUBLAS_STATUS_SUCCESS) fail_in(call, cublasGetStatusName(status), status == CUBLAS_STATUS_ALLOC_FAILED);
}

void LinearAlgebra::check(cusolverStatus_t status, std::string_view call) {
  if (status != CUSOLVER_STATUS_SUCCESS) fail_in(call, describe(status), status == CUSOLVER_STATUS_ALLOC_FAILED);
}

void LinearAlgebra::fail_in(std::string_view call, std::string_view what, bool out_of_memory) {
  device_->note_failure();
  fail(out_of_memory ? ErrorCode::kOutOfMemory : ErrorCode::kDevice, "{} failed on device {} ({}): {}", call,
       device_->index(), device_->properties().name, what);
}

}  // namespace lexiscope::cuda
