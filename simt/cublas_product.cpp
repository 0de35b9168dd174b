#include "simt/cublas_product.h"

#include <cblas.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "simt/runtime_call.h"

extern "C" void openblas_set_num_threads(int);

namespace lexiscope::simt {
namespace {

// To nearest, ties to even, as kernels that feed tensor cores do.
float rounded_to_tf32(float value) {
  constexpr unsigned kDropped = 13;  // bits of an f32's fraction
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (!std::isfinite(value)) return value;
  const std::uint32_t half = (1u << (kDropped - 1)) - 1 + ((bits >> kDropped) & 1);
  return std::bit_cast<float>((bits + half) & ~((1u << kDropped) - 1));
}

double load(const void* data, std::int64_t index, cudaDataType type) {
  switch (type) {
    case CUDA_R_64F:
      return static_cast<const double*>(data)[index];
    case CUDA_R_16BF:
      return __bfloat162float(static_cast<const __nv_bfloat16*>(data)[index]);
    case CUDA_R_16F:
      return __half2float(static_cast<const __half*>(data)[index]);
    default:
      return static_cast<const float*>(data)[index];
  }
}

// `value` is an f32 for every type but f64.
void store(double value, void* data, std::int64_t index, cudaDataType type) {
  switch (type) {
    case CUDA_R_64F:
      static_cast<double*>(data)[index] = value;
      break;
    case CUDA_R_16BF:
      static_cast<__nv_bfloat16*>(data)[index] = __float2bfloat16(static_cast<float>(value));
      break;
    case CUDA_R_16F:
      static_cast<__half*>(data)[index] = __float2half(static_cast<float>(value));
      break;
    default:
      static_cast<float*>(data)[index] = static_cast<float>(value);
      break;
  }
}

std::byte* element(const void* data, std::int64_t index, cudaDataType type) {
  return static_cast<std::byte*>(const_cast<void*>(data)) + index * static_cast<std::int64_t>(bytes_of(type));
}

Matrix of_batch(const Matrix& matrix, int batch) {
  Matrix one = matrix;
  one.data = element(matrix.data, batch * matrix.stride, matrix.type);
  return one;
}

// An operand in the type that sums are kept in, its columns next to each other.
template <typename Real>
std::vector<Real> converted(const Matrix& matrix, bool tf32) {
  std::vector<Real> values(static_cast<std::size_t>(matrix.rows * matrix.columns));
  auto value = values.begin();
  for (std::int64_t column = 0; column < matrix.columns; ++column)
    for (std::int64_t row = 0; row < matrix.rows; ++row) {
      const auto read = static_cast<Real>(load(matrix.data, column * matrix.leading_dimension + row, matrix.type));
      *value++ = tf32 ? static_cast<Real>(rounded_to_tf32(static_cast<float>(read))) : read;
    }
  return values;
}

CBLAS_TRANSPOSE transposed(bool transpose) { return transpose ? CblasTrans : CblasNoTrans; }

void multiply(const Product& p, const std::vector<float>& a, const std::vector<float>& b, std::vector<float>& sums) {
  cblas_sgemm(CblasColMajor, transposed(p.transpose_a), transposed(p.transpose_b), static_cast<blasint>(p.m()),
              static_cast<blasint>(p.n()), static_cast<blasint>(p.k()), 1, a.data(), static_cast<blasint>(p.a.rows),
              b.data(), static_cast<blasint>(p.b.rows), 0, sums.data(), static_cast<blasint>(p.m()));
}

void multiply(const Product& p, const std::vector<double>& a, const std::vector<double>& b, std::vector<double>& sums) {
  cblas_dgemm(CblasColMajor, transposed(p.transpose_a), transposed(p.transpose_b), static_cast<blasint>(p.m()),
              static_cast<blasint>(p.n()), static_cast<blasint>(p.k()), 1, a.data(), static_cast<blasint>(p.a.rows),
              b.data(), static_cast<blasint>(p.b.rows), 0, sums.data(), static_cast<blasint>(p.m()));
}

// op(A) op(B), by columns. Where alpha or k is 0 the operands are not read.
template <typename Real>
std::vector<Real> sums_of(const Product& product, int batch) {
  std::vector<Real> sums(static_cast<std::size_t>(product.m() * product.n()));
  if (product.alpha == 0 || product.k() == 0) return sums;
  const auto a = converted<Real>(of_batch(product.a, batch), product.tf32);
  const auto b = converted<Real>(of_batch(product.b, batch), product.tf32);
  openblas_set_num_threads(1);  // the same bits on every machine
  multiply(product, a, b, sums);
  return sums;
}

template <typename Real>
Real gelu_by_tanh(Real x) {
  const Real scale = std::sqrt(2 * std::numbers::inv_pi_v<Real>);
  return x / 2 * (1 + std::tanh(scale * (x + Real(0.044715) * x * x * x)));
}

bool written(const Product& product, std::int64_t row, std::int64_t column) {
  if (!product.triangle) return true;
  return *product.triangle == CUBLAS_FILL_MODE_LOWER ? row >= column : row <= column;
}

// C is not read where beta is 0: it may hold anything.
template <typename Real>
void finish(const Product& product, int batch, const std::vector<Real>& sums) {
  const Matrix c = product.beta == 0 ? Matrix{} : of_batch(product.c, batch);
  const Matrix d = of_batch(product.d, batch);
  for (std::int64_t column = 0; column < product.n(); ++column)
    for (std::int64_t row = 0; row < product.m(); ++row) {
      if (!written(product, row, column)) continue;
      Real value = static_cast<Real>(product.alpha) * sums[static_cast<std::size_t>(column * product.m() + row)];
      if (product.beta != 0)
        value += static_cast<Real>(product.beta) *
                 static_cast<Real>(load(c.data, column * c.leading_dimension + row, c.type));
      if (product.bias != nullptr)
        value += static_cast<Real>(load(product.bias, batch * product.bias_stride + row, d.type));
      if (product.relu) value = value < 0 ? Real(0) : value;  // a NaN stays one
      if (product.gelu) value = gelu_by_tanh(value);
      store(value, d.data, column * d.leading_dimension + row, d.type);
    }
}

template <typename Real>
void execute(const Product& product) {
  for (int batch = 0; batch < product.batches; ++batch) finish(product, batch, sums_of<Real>(product, batch));
}

void check_range(const Product& product, const char* name, const void* data, std::int64_t elements, cudaDataType type) {
  const std::size_t bytes = static_cast<std::size_t>(elements) * bytes_of(type);
  const std::string what = std::string(product.function) + ": " + name;
  if (reinterpret_cast<std::uintptr_t>(data) % bytes_of(type) != 0)
    throw DeviceFault(cudaErrorMisalignedAddress, what + " is not aligned to its elements");
  if (!runtime().memory.live(data, bytes))
    throw DeviceFault(cudaErrorIllegalAddress,
                      what + ": its " + std::to_string(bytes) + " bytes do not lie in one allocation of the device");
}

void check(const Product& product, const char* name, const Matrix& matrix) {
  if (matrix.rows == 0 || matrix.columns == 0) return;
  const std::int64_t one = (matrix.columns - 1) * matrix.leading_dimension + matrix.rows;
  check_range(product, name, matrix.data, (product.batches - 1) * matrix.stride + one, matrix.type);
}

void check_memory(const Product& product) {
  if (product.alpha != 0) {
    check(product, "A", product.a);
    check(product, "B", product.b);
  }
  if (product.beta != 0) check(product, "C", product.c);
  check(product, "D", product.d);
  if (product.bias != nullptr)
    check_range(product, "bias", product.bias, (product.batches - 1) * product.bias_stride + product.m(),
                product.d.type);
}

}  // namespace

std::size_t bytes_of(cudaDataType type) {
  switch (type) {
    case CUDA_R_64F:
      return sizeof(double);
    case CUDA_R_32F:
      return sizeof(float);
    case CUDA_R_16BF:
      return sizeof(__nv_bfloat16);
    case CUDA_R_16F:
      return sizeof(__half);
    default:
      return 0;
  }
}

void enqueue_product(const Product& product, cudaStream_t stream) {
  if (product.m() == 0 || product.n() == 0 || product.batches == 0) return;
  runtime().streams.enqueue(stream, [product] {
    check_memory(product);
    product.d.type == CUDA_R_64F ? execute<double>(product) : execute<float>(product);
  });
}

}  // namespace lexiscope::simt
