// The matrix product behind every call of cuBLAS and cuBLASLt here: D = epilogue(alpha op(A) op(B) + beta C), stored by
// columns. Sums are kept in f32 (in f64 for f64), and rounded once, to D's type.
#pragma once

#include <cublasLt.h>
#include <cublas_v2.h>

#include <cstddef>
#include <cstdint>
#include <optional>

namespace lexiscope::simt {

/// `rows` x `columns` in device memory, column c at c * leading_dimension; `stride` elements between matrices of a
/// batch.
struct Matrix {
  void* data = nullptr;
  cudaDataType type = CUDA_R_32F;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t leading_dimension = 0;
  std::int64_t stride = 0;
};

struct Product {
  const char* function = "";  ///< the call, for messages
  bool transpose_a = false;
  bool transpose_b = false;
  Matrix a, b, c, d;  ///< as stored: a is [k,m] where it is transposed
  double alpha = 1;
  double beta = 0;
  int batches = 1;
  bool tf32 = false;                         ///< inputs rounded to 10 bits of fraction
  std::optional<cublasFillMode_t> triangle;  ///< the only part of D that is written
  bool relu = false;
  bool gelu = false;           ///< cuBLASLt's: the approximation by tanh
  const void* bias = nullptr;  ///< a value for each row of D, of D's type
  std::int64_t bias_stride = 0;

  std::int64_t m() const { return d.rows; }
  std::int64_t n() const { return d.columns; }
  std::int64_t k() const { return transpose_a ? a.rows : a.columns; }
};

/// Of one element; 0 for a type that products do not take here.
std::size_t bytes_of(cudaDataType type);

/// Enqueues the product. Memory that is not the device's, or not allocated when it executes, is a fault then.
void enqueue_product(const Product& product, cudaStream_t stream);

}  // namespace lexiscope::simt
