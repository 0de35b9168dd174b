// cuBLAS: plain, batched and mixed-precision products, and the symmetric rank-k update.
#include <cublas_v2.h>

#include <algorithm>

#include "simt/cublas_handle.h"
#include "simt/cublas_product.h"

using namespace lexiscope::simt;

namespace {

struct Operand {
  const void* data;
  cudaDataType type;
  std::int64_t leading_dimension;
  std::int64_t stride = 0;
};

bool transposed(cublasOperation_t operation) {
  require(operation == CUBLAS_OP_N || operation == CUBLAS_OP_T || operation == CUBLAS_OP_C,
          CUBLAS_STATUS_INVALID_VALUE);
  return operation != CUBLAS_OP_N;  // of real numbers, the conjugate is the same
}

Matrix matrix(const Operand& operand, std::int64_t rows, std::int64_t columns, bool transpose) {
  if (transpose) std::swap(rows, columns);
  require(operand.leading_dimension >= std::max<std::int64_t>(1, rows), CUBLAS_STATUS_INVALID_VALUE);
  require(operand.data != nullptr || rows == 0 || columns == 0, CUBLAS_STATUS_INVALID_VALUE);
  return {.data = const_cast<void*>(operand.data),
          .type = operand.type,
          .rows = rows,
          .columns = columns,
          .leading_dimension = operand.leading_dimension,
          .stride = operand.stride};
}

double scalar(const void* value, cudaDataType type) {
  require(value != nullptr, CUBLAS_STATUS_INVALID_VALUE);
  return type == CUDA_R_64F ? *static_cast<const double*>(value) : *static_cast<const float*>(value);
}

struct Shape {
  cublasOperation_t operation_a, operation_b;
  std::int64_t m, n, k;
  int batches = 1;
};

void multiply(const char* function, cublasHandle_t handle, const Shape& shape, const void* alpha, const Operand& a,
              const Operand& b, const void* beta, const Operand& c, bool tf32) {
  const cublasContext& context = context_of(handle);
  require(shape.m >= 0 && shape.n >= 0 && shape.k >= 0 && shape.batches >= 0, CUBLAS_STATUS_INVALID_VALUE);
  Product product;
  product.function = function;
  product.transpose_a = transposed(shape.operation_a);
  product.transpose_b = transposed(shape.operation_b);
  product.a = matrix(a, shape.m, shape.k, product.transpose_a);
  product.b = matrix(b, shape.k, shape.n, product.transpose_b);
  product.c = product.d = matrix(c, shape.m, shape.n, false);
  const cudaDataType scale = c.type == CUDA_R_64F ? CUDA_R_64F : CUDA_R_32F;
  product.alpha = scalar(alpha, scale);
  product.beta = scalar(beta, scale);
  product.batches = shape.batches;
  product.tf32 = a.type == CUDA_R_32F && tf32;
  enqueue_product(product, context.stream);
}

bool tf32_allowed(cublasHandle_t handle) {
  return (context_of(handle).math & ~CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION) == CUBLAS_TF32_TENSOR_OP_MATH;
}

// What cublasGemmEx's table has with real inputs of one type and sums in f32 or f64.
void check_types(cudaDataType a, cudaDataType b, cudaDataType c, cublasComputeType_t compute) {
  const bool low = a == CUDA_R_16BF || a == CUDA_R_16F;
  bool supported = a == b;
  switch (compute) {
    case CUBLAS_COMPUTE_64F:
    case CUBLAS_COMPUTE_64F_PEDANTIC:
      supported = supported && a == CUDA_R_64F && c == CUDA_R_64F;
      break;
    case CUBLAS_COMPUTE_32F_FAST_TF32:
      supported = supported && a == CUDA_R_32F && c == CUDA_R_32F;
      break;
    case CUBLAS_COMPUTE_32F:
    case CUBLAS_COMPUTE_32F_PEDANTIC:
      supported = supported && (low ? c == a || c == CUDA_R_32F : a == CUDA_R_32F && c == CUDA_R_32F);
      break;
    default:
      supported = false;
  }
  require(supported, CUBLAS_STATUS_NOT_SUPPORTED);
}

void multiply_typed(const char* function, cublasHandle_t handle, const Shape& shape, const void* alpha,
                    const Operand& a, const Operand& b, const void* beta, const Operand& c,
                    cublasComputeType_t compute) {
  const bool tf32 = compute == CUBLAS_COMPUTE_32F_FAST_TF32 || (compute == CUBLAS_COMPUTE_32F && tf32_allowed(handle));
  check_types(a.type, b.type, c.type, compute);
  multiply(function, handle, shape, alpha, a, b, beta, c, tf32);
}

// C = alpha op(A) op(A)^T + beta C, of which one triangle is written.
void update(const char* function, cublasHandle_t handle, cublasFillMode_t fill, cublasOperation_t operation,
            std::int64_t n, std::int64_t k, const void* alpha, const Operand& a, const void* beta, const Operand& c) {
  const cublasContext& context = context_of(handle);
  require(n >= 0 && k >= 0, CUBLAS_STATUS_INVALID_VALUE);
  require(fill == CUBLAS_FILL_MODE_LOWER || fill == CUBLAS_FILL_MODE_UPPER, CUBLAS_STATUS_INVALID_VALUE);
  Product product;
  product.function = function;
  product.transpose_a = transposed(operation);
  product.transpose_b = !product.transpose_a;
  product.a = product.b = matrix(a, n, k, product.transpose_a);
  product.c = product.d = matrix(c, n, n, false);
  product.alpha = scalar(alpha, c.type);
  product.beta = scalar(beta, c.type);
  product.triangle = fill;
  product.tf32 = c.type == CUDA_R_32F && tf32_allowed(handle);
  enqueue_product(product, context.stream);
}

}  // namespace

cublasStatus_t cublasSgemm(cublasHandle_t handle, cublasOperation_t operation_a, cublasOperation_t operation_b, int m,
                           int n, int k, const float* alpha, const float* a, int lda, const float* b, int ldb,
                           const float* beta, float* c, int ldc) {
  return blas_call("cublasSgemm", [&] {
    multiply("cublasSgemm", handle, {operation_a, operation_b, m, n, k}, alpha, {a, CUDA_R_32F, lda},
             {b, CUDA_R_32F, ldb}, beta, {c, CUDA_R_32F, ldc}, tf32_allowed(handle));
  });
}

cublasStatus_t cublasDgemm(cublasHandle_t handle, cublasOperation_t operation_a, cublasOperation_t operation_b, int m,
                           int n, int k, const double* alpha, const double* a, int lda, const double* b, int ldb,
                           const double* beta, double* c, int ldc) {
  return blas_call("cublasDgemm", [&] {
    multiply("cublasDgemm", handle, {operation_a, operation_b, m, n, k}, alpha, {a, CUDA_R_64F, lda},
             {b, CUDA_R_64F, ldb}, beta, {c, CUDA_R_64F, ldc}, false);
  });
}

cublasStatus_t cublasDgemm_64(cublasHandle_t handle, cublasOperation_t operation_a, cublasOperation_t operation_b,
                              std::int64_t m, std::int64_t n, std::int64_t k, const double* alpha, const double* a,
                              std::int64_t lda, const double* b, std::int64_t ldb, const double* beta, double* c,
                              std::int64_t ldc) {
  return blas_call("cublasDgemm_64", [&] {
    multiply("cublasDgemm_64", handle, {operation_a, operation_b, m, n, k}, alpha, {a, CUDA_R_64F, lda},
             {b, CUDA_R_64F, ldb}, beta, {c, CUDA_R_64F, ldc}, false);
  });
}

cublasStatus_t cublasSgemmStridedBatched(cublasHandle_t handle, cublasOperation_t operation_a,
                                         cublasOperation_t operation_b, int m, int n, int k, const float* alpha,
                                         const float* a, int lda, long long stride_a, const float* b, int ldb,
                                         long long stride_b, const float* beta, float* c, int ldc, long long stride_c,
                                         int batches) {
  return blas_call("cublasSgemmStridedBatched", [&] {
    multiply("cublasSgemmStridedBatched", handle, {operation_a, operation_b, m, n, k, batches}, alpha,
             {a, CUDA_R_32F, lda, stride_a}, {b, CUDA_R_32F, ldb, stride_b}, beta, {c, CUDA_R_32F, ldc, stride_c},
             tf32_allowed(handle));
  });
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t operation_a, cublasOperation_t operation_b, int m,
                            int n, int k, const void* alpha, const void* a, cudaDataType type_a, int lda, const void* b,
                            cudaDataType type_b, int ldb, const void* beta, void* c, cudaDataType type_c, int ldc,
                            cublasComputeType_t compute, cublasGemmAlgo_t) {
  return blas_call("cublasGemmEx", [&] {
    multiply_typed("cublasGemmEx", handle, {operation_a, operation_b, m, n, k}, alpha, {a, type_a, lda},
                   {b, type_b, ldb}, beta, {c, type_c, ldc}, compute);
  });
}

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t operation_a,
                                          cublasOperation_t operation_b, int m, int n, int k, const void* alpha,
                                          const void* a, cudaDataType type_a, int lda, long long stride_a,
                                          const void* b, cudaDataType type_b, int ldb, long long stride_b,
                                          const void* beta, void* c, cudaDataType type_c, int ldc, long long stride_c,
                                          int batches, cublasComputeType_t compute, cublasGemmAlgo_t) {
  return blas_call("cublasGemmStridedBatchedEx", [&] {
    multiply_typed("cublasGemmStridedBatchedEx", handle, {operation_a, operation_b, m, n, k, batches}, alpha,
                   {a, type_a, lda, stride_a}, {b, type_b, ldb, stride_b}, beta, {c, type_c, ldc, stride_c}, compute);
  });
}

cublasStatus_t cublasSsyrk(cublasHandle_t handle, cublasFillMode_t fill, cublasOperation_t operation, int n, int k,
                           const float* alpha, const float* a, int lda, const float* beta, float* c, int ldc) {
  return blas_call("cublasSsyrk", [&] {
    update("cublasSsyrk", handle, fill, operation, n, k, alpha, {a, CUDA_R_32F, lda}, beta, {c, CUDA_R_32F, ldc});
  });
}

cublasStatus_t cublasDsyrk(cublasHandle_t handle, cublasFillMode_t fill, cublasOperation_t operation, int n, int k,
                           const double* alpha, const double* a, int lda, const double* beta, double* c, int ldc) {
  return blas_call("cublasDsyrk", [&] {
    update("cublasDsyrk", handle, fill, operation, n, k, alpha, {a, CUDA_R_64F, lda}, beta, {c, CUDA_R_64F, ldc});
  });
}

cublasStatus_t cublasDsyrk_64(cublasHandle_t handle, cublasFillMode_t fill, cublasOperation_t operation, std::int64_t n,
                              std::int64_t k, const double* alpha, const double* a, std::int64_t lda,
                              const double* beta, double* c, std::int64_t ldc) {
  return blas_call("cublasDsyrk_64", [&] {
    update("cublasDsyrk_64", handle, fill, operation, n, k, alpha, {a, CUDA_R_64F, lda}, beta, {c, CUDA_R_64F, ldc});
  });
}
