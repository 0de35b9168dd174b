// cuBLAS: the handle, what is set on it, and the texts of its statuses.
#include "simt/cublas_handle.h"

#include <cublas_v2.h>

using namespace lexiscope::simt;

namespace lexiscope::simt {

Handles<cublasContext>& blas_handles() {
  static auto* const handles = std::make_unique<Handles<cublasContext>>(runtime().blas_handles).release();
  return *handles;
}

cublasContext& context_of(cublasHandle_t handle) { return blas_handles().at(handle, CUBLAS_STATUS_NOT_INITIALIZED); }

void check_workspace(const void* workspace, std::size_t bytes) {
  constexpr std::uintptr_t kAlignment = 256;
  require(reinterpret_cast<std::uintptr_t>(workspace) % kAlignment == 0, CUBLAS_STATUS_INVALID_VALUE);
  require(bytes == 0 || runtime().memory.covers(workspace, bytes), CUBLAS_STATUS_INVALID_VALUE);
}

}  // namespace lexiscope::simt

cublasStatus_t cublasCreate(cublasHandle_t* handle) {
  return blas_call("cublasCreate", [&] {
    require(handle != nullptr, CUBLAS_STATUS_INVALID_VALUE);
    *handle = blas_handles().create();
  });
}

// Waits for the device, as cuBLAS does before it lets go of what its calls may still use.
cublasStatus_t cublasDestroy(cublasHandle_t handle) {
  return blas_release_call("cublasDestroy", [&] {
    blas_handles().destroy(handle, CUBLAS_STATUS_NOT_INITIALIZED);
    runtime().wait_for_all();
  });
}

cublasStatus_t cublasGetVersion(cublasHandle_t handle, int* version) {
  return blas_call("cublasGetVersion", [&] {
    context_of(handle);
    require(version != nullptr, CUBLAS_STATUS_INVALID_VALUE);
    *version = CUBLAS_VERSION;
  });
}

cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream) {
  return blas_call("cublasSetStream", [&] { context_of(handle).stream = stream; });
}

cublasStatus_t cublasGetStream(cublasHandle_t handle, cudaStream_t* stream) {
  return blas_call("cublasGetStream", [&] {
    require(stream != nullptr, CUBLAS_STATUS_INVALID_VALUE);
    *stream = context_of(handle).stream;
  });
}

// The products here need none: it is checked, as cuBLAS does.
cublasStatus_t cublasSetWorkspace(cublasHandle_t handle, void* workspace, std::size_t bytes) {
  return blas_call("cublasSetWorkspace", [&] {
    context_of(handle);
    check_workspace(workspace, bytes);
  });
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
  return blas_call("cublasSetMathMode", [&] {
    cublasContext& context = context_of(handle);
    const int kind = mode & ~CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION;
    require(kind == CUBLAS_DEFAULT_MATH || kind == CUBLAS_PEDANTIC_MATH || kind == CUBLAS_TF32_TENSOR_OP_MATH,
            CUBLAS_STATUS_INVALID_VALUE);
    context.math = mode;
  });
}

cublasStatus_t cublasGetMathMode(cublasHandle_t handle, cublasMath_t* mode) {
  return blas_call("cublasGetMathMode", [&] {
    require(mode != nullptr, CUBLAS_STATUS_INVALID_VALUE);
    *mode = context_of(handle).math;
  });
}

const char* cublasGetStatusName(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_ARCH_MISMATCH:
      return "CUBLAS_STATUS_ARCH_MISMATCH";
    case CUBLAS_STATUS_MAPPING_ERROR:
      return "CUBLAS_STATUS_MAPPING_ERROR";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_INTERNAL_ERROR:
      return "CUBLAS_STATUS_INTERNAL_ERROR";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    case CUBLAS_STATUS_LICENSE_ERROR:
      return "CUBLAS_STATUS_LICENSE_ERROR";
  }
  return "CUBLAS_UNKNOWN_STATUS";
}

const char* cublasGetStatusString(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "the operation completed successfully";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "the library was not initialized";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "the resource allocation failed";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "an unsupported value or parameter was passed to the function";
    case CUBLAS_STATUS_ARCH_MISMATCH:
      return "the function requires a feature absent from the device architecture";
    case CUBLAS_STATUS_MAPPING_ERROR:
      return "an access to GPU memory space failed";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "the function failed to launch on the GPU";
    case CUBLAS_STATUS_INTERNAL_ERROR:
      return "an internal operation failed";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "the functionality requested is not supported";
    case CUBLAS_STATUS_LICENSE_ERROR:
      return "the functionality requested requires some license";
  }
  return "unknown status";
}

const char* cublasLtGetStatusName(cublasStatus_t status) { return cublasGetStatusName(status); }

const char* cublasLtGetStatusString(cublasStatus_t status) { return cublasGetStatusString(status); }
