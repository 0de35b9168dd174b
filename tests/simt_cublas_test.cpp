// The stand-ins for cuBLAS and cuBLASLt against plain loops in double, at odd shapes and strides, and their refusals.
#include <cublasLt.h>
#include <cublas_v2.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <random>
#include <string>
#include <vector>

#include "simt/runtime.h"

namespace lexiscope::simt {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

float to_float(float value) { return value; }
float to_float(__nv_bfloat16 value) { return __bfloat162float(value); }
float to_float(__half value) { return __half2float(value); }
double to_double(double value) { return value; }
template <typename Element>
double to_double(Element value) {
  return to_float(value);
}

template <typename Element>
Element to_element(double value) {
  if constexpr (std::is_same_v<Element, __nv_bfloat16>) return __float2bfloat16(static_cast<float>(value));
  if constexpr (std::is_same_v<Element, __half>) return __float2half(static_cast<float>(value));
  if constexpr (std::is_floating_point_v<Element>) return static_cast<Element>(value);
}

template <typename Element>
constexpr cudaDataType kType = CUDA_R_32F;
template <>
constexpr cudaDataType kType<__nv_bfloat16> = CUDA_R_16BF;
template <>
constexpr cudaDataType kType<__half> = CUDA_R_16F;

// Half the distance between 1 and the next number: the relative error of rounding once.
template <typename Element>
constexpr double kUnit = 0x1p-24;
template <>
constexpr double kUnit<double> = 0x1p-53;
template <>
constexpr double kUnit<__nv_bfloat16> = 0x1p-8;
template <>
constexpr double kUnit<__half> = 0x1p-11;
constexpr double kUnitTf32 = 0x1p-11;

// A matrix stored by columns, on the host and on the device.
template <typename Element>
struct Stored {
  int rows, columns, leading_dimension;
  std::vector<Element> host;
  Element* device = nullptr;

  Stored(int rows_, int columns_, unsigned seed, int padding = 3)
      : rows(rows_), columns(columns_), leading_dimension(rows_ + padding) {
    std::mt19937 random(seed);
    std::normal_distribution<double> normal;
    host.resize(static_cast<std::size_t>(leading_dimension) * columns);
    for (auto& value : host) value = to_element<Element>(normal(random));
    EXPECT_EQ(cudaMalloc(&device, bytes()), cudaSuccess);
    upload();
  }

  std::size_t bytes() const { return host.size() * sizeof(Element); }
  std::size_t index(int row, int column) const { return static_cast<std::size_t>(column) * leading_dimension + row; }
  double at(int row, int column) const { return to_double(host[index(row, column)]); }
  double at(int row, int column, bool transpose) const { return transpose ? at(column, row) : at(row, column); }
  void upload() const { EXPECT_EQ(cudaMemcpy(device, host.data(), bytes(), cudaMemcpyHostToDevice), cudaSuccess); }
  std::vector<Element> download() const {
    std::vector<Element> values(host.size());
    EXPECT_EQ(cudaMemcpy(values.data(), device, bytes(), cudaMemcpyDeviceToHost), cudaSuccess);
    return values;
  }
};

struct Case {
  int m, n, k;
  bool transpose_a, transpose_b;
  double alpha, beta;
};

std::vector<Case> cases() {
  return {{1, 1, 1, false, false, 1, 0},       {2, 3, 5, false, false, 1, 0},    {17, 31, 33, true, false, 1, 0},
          {31, 17, 63, false, true, 1, 0},     {33, 65, 127, true, true, 1, 0},  {65, 33, 129, true, false, 0.5, 2},
          {17, 33, 65, false, true, -1.25, 1}, {5, 7, 500, true, false, 0, 3},   {3, 2, 1, false, false, 1, -1},
          {63, 1, 31, true, false, 1, 0},      {1, 63, 31, false, false, 2, 0.5}};
}

class SimtCublasTest : public ::testing::Test {
 protected:
  SimtCublasTest() {
    reset();
    EXPECT_EQ(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), cudaSuccess);
    EXPECT_EQ(cublasCreate(&blas_), CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(cublasSetStream(blas_, stream_), CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(cublasLtCreate(&lt_), CUBLAS_STATUS_SUCCESS);
  }
  ~SimtCublasTest() override {
    cublasDestroy(blas_);
    cublasLtDestroy(lt_);
    EXPECT_EQ(counters().blas_handles, 0u);
    EXPECT_EQ(counters().blas_descriptors, 0u);
    reset();
  }

  void wait() { EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess); }

  cudaStream_t stream_ = nullptr;
  cublasHandle_t blas_ = nullptr;
  cublasLtHandle_t lt_ = nullptr;
};

cublasOperation_t operation(bool transpose) { return transpose ? CUBLAS_OP_T : CUBLAS_OP_N; }

// |error| of alpha sum(a b) + beta c: a sum of k products in the type `Sum` rounds each at most k times, scaling and
// adding C three times more; the result is rounded once to its own type; `input` is the rounding of both operands.
template <typename Sum, typename In, typename Out>
void expect_product(const Case& c, const Stored<In>& a, const Stored<In>& b, const Stored<Out>& before,
                    const std::vector<Out>& got, double input = 0) {
  for (int column = 0; column < c.n; ++column)
    for (int row = 0; row < c.m; ++row) {
      double sum = 0, terms = 0;
      for (int i = 0; i < c.k; ++i) {
        const double term = a.at(row, i, c.transpose_a) * b.at(i, column, c.transpose_b);
        sum += term;
        terms += std::abs(term);
      }
      const double old = c.beta == 0 ? 0 : c.beta * before.at(row, column);
      const double want = c.alpha * sum + old;
      const double magnitude = std::abs(c.alpha) * terms + std::abs(old);
      const double bound =
          ((c.k + 3) * kUnit<Sum> + 2 * input + input * input) * magnitude + kUnit<Out> * std::abs(want);
      ASSERT_NEAR(to_double(got[before.index(row, column)]), want, bound * (1 + 1e-3))
          << c.m << "x" << c.n << "x" << c.k << " at " << row << "," << column;
    }
  // What lies between the columns is nobody's to write.
  for (int column = 0; column < c.n; ++column)
    for (int row = c.m; row < before.leading_dimension; ++row)
      ASSERT_EQ(to_double(got[before.index(row, column)]), to_double(before.host[before.index(row, column)]));
}

template <typename Element>
Stored<Element> stored(int rows, int columns, bool transpose, unsigned seed) {
  return transpose ? Stored<Element>(columns, rows, seed) : Stored<Element>(rows, columns, seed);
}

TEST_F(SimtCublasTest, MultipliesInSinglePrecision) {
  for (const Case& c : cases()) {
    const auto a = stored<float>(c.m, c.k, c.transpose_a, 1);
    const auto b = stored<float>(c.k, c.n, c.transpose_b, 2);
    const Stored<float> d(c.m, c.n, 3);
    const auto alpha = static_cast<float>(c.alpha), beta = static_cast<float>(c.beta);
    ASSERT_EQ(cublasSgemm(blas_, operation(c.transpose_a), operation(c.transpose_b), c.m, c.n, c.k, &alpha, a.device,
                          a.leading_dimension, b.device, b.leading_dimension, &beta, d.device, d.leading_dimension),
              CUBLAS_STATUS_SUCCESS);
    wait();
    expect_product<float>(c, a, b, d, d.download());
  }
}

TEST_F(SimtCublasTest, MultipliesInDoublePrecision) {
  for (const Case& c : cases()) {
    const auto a = stored<double>(c.m, c.k, c.transpose_a, 1);
    const auto b = stored<double>(c.k, c.n, c.transpose_b, 2);
    const Stored<double> d(c.m, c.n, 3);
    ASSERT_EQ(cublasDgemm(blas_, operation(c.transpose_a), operation(c.transpose_b), c.m, c.n, c.k, &c.alpha, a.device,
                          a.leading_dimension, b.device, b.leading_dimension, &c.beta, d.device, d.leading_dimension),
              CUBLAS_STATUS_SUCCESS);
    wait();
    // The reference is in double too: both round.
    for (int column = 0; column < c.n; ++column)
      for (int row = 0; row < c.m; ++row) {
        double sum = 0, terms = 0;
        for (int i = 0; i < c.k; ++i) {
          sum += a.at(row, i, c.transpose_a) * b.at(i, column, c.transpose_b);
          terms += std::abs(a.at(row, i, c.transpose_a) * b.at(i, column, c.transpose_b));
        }
        const double old = c.beta * d.at(row, column);
        ASSERT_NEAR(d.download()[d.index(row, column)], c.alpha * sum + old,
                    2 * (c.k + 4) * kUnit<double> * (std::abs(c.alpha) * terms + std::abs(old)));
      }
  }
}

template <typename In, typename Out>
void multiply_mixed(cublasHandle_t blas, cudaStream_t stream, cublasComputeType_t compute, double input_rounding = 0) {
  for (const Case& c : cases()) {
    const auto a = stored<In>(c.m, c.k, c.transpose_a, 1);
    const auto b = stored<In>(c.k, c.n, c.transpose_b, 2);
    const Stored<Out> d(c.m, c.n, 3);
    const auto alpha = static_cast<float>(c.alpha), beta = static_cast<float>(c.beta);
    ASSERT_EQ(cublasGemmEx(blas, operation(c.transpose_a), operation(c.transpose_b), c.m, c.n, c.k, &alpha, a.device,
                           kType<In>, a.leading_dimension, b.device, kType<In>, b.leading_dimension, &beta, d.device,
                           kType<Out>, d.leading_dimension, compute, CUBLAS_GEMM_DEFAULT),
              CUBLAS_STATUS_SUCCESS);
    ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    expect_product<float>(c, a, b, d, d.download(), input_rounding);
  }
}

TEST_F(SimtCublasTest, MultipliesBf16WithSumsInF32) {
  multiply_mixed<__nv_bfloat16, float>(blas_, stream_, CUBLAS_COMPUTE_32F);
  multiply_mixed<__nv_bfloat16, __nv_bfloat16>(blas_, stream_, CUBLAS_COMPUTE_32F);
}

TEST_F(SimtCublasTest, MultipliesF16WithSumsInF32) {
  multiply_mixed<__half, float>(blas_, stream_, CUBLAS_COMPUTE_32F);
  multiply_mixed<__half, __half>(blas_, stream_, CUBLAS_COMPUTE_32F_PEDANTIC);
}

TEST_F(SimtCublasTest, RoundsInputsToTf32WhereThatIsAllowed) {
  multiply_mixed<float, float>(blas_, stream_, CUBLAS_COMPUTE_32F_FAST_TF32, kUnitTf32);
  const Stored<float> one(1, 1, 1);
  Stored<float> fine(1, 1, 2);
  fine.host[0] = 1 + 0x1p-20f;
  fine.upload();
  const float alpha = 1, beta = 0;
  Stored<float> unit(1, 1, 3);
  unit.host[0] = 1;
  unit.upload();
  const auto product = [&] {
    EXPECT_EQ(cublasSgemm(blas_, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &alpha, fine.device, 1, unit.device, 1, &beta,
                          one.device, 1),
              CUBLAS_STATUS_SUCCESS);
    wait();
    return one.download()[0];
  };
  EXPECT_EQ(product(), 1 + 0x1p-20f);
  ASSERT_EQ(cublasSetMathMode(blas_, CUBLAS_TF32_TENSOR_OP_MATH), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(product(), 1);
  ASSERT_EQ(cublasSetMathMode(blas_, CUBLAS_PEDANTIC_MATH), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(product(), 1 + 0x1p-20f);
}

TEST_F(SimtCublasTest, MultipliesBatchesAtStrides) {
  constexpr int kBatches = 3, kM = 5, kN = 7, kK = 9;
  const Stored<float> a(kK, kM * kBatches, 1), b(kK, kN, 2), d(kM, kN * kBatches, 3);
  const float alpha = 1, beta = 0;
  const long long stride_a = kM * a.leading_dimension, stride_d = kN * d.leading_dimension;
  ASSERT_EQ(cublasSgemmStridedBatched(blas_, CUBLAS_OP_T, CUBLAS_OP_N, kM, kN, kK, &alpha, a.device,
                                      a.leading_dimension, stride_a, b.device, b.leading_dimension, 0, &beta, d.device,
                                      d.leading_dimension, stride_d, kBatches),
            CUBLAS_STATUS_SUCCESS);
  wait();
  const auto got = d.download();
  for (int batch = 0; batch < kBatches; ++batch)
    for (int column = 0; column < kN; ++column)
      for (int row = 0; row < kM; ++row) {
        double want = 0, terms = 0;
        for (int i = 0; i < kK; ++i) {
          want += a.at(i, batch * kM + row) * b.at(i, column);
          terms += std::abs(a.at(i, batch * kM + row) * b.at(i, column));
        }
        ASSERT_NEAR(got[d.index(row, batch * kN + column)], want, (kK + 3) * kUnit<float> * terms);
      }
}

TEST_F(SimtCublasTest, UpdatesOneTriangleAlone) {
  constexpr int kN = 17, kK = 33;
  for (const bool transpose : {false, true})
    for (const auto fill : {CUBLAS_FILL_MODE_LOWER, CUBLAS_FILL_MODE_UPPER}) {
      const auto a = stored<float>(kN, kK, transpose, 1);
      const Stored<float> c(kN, kN, 2);
      const float alpha = 2, beta = 0.5;
      ASSERT_EQ(cublasSsyrk(blas_, fill, operation(transpose), kN, kK, &alpha, a.device, a.leading_dimension, &beta,
                            c.device, c.leading_dimension),
                CUBLAS_STATUS_SUCCESS);
      wait();
      const auto got = c.download();
      for (int column = 0; column < kN; ++column)
        for (int row = 0; row < kN; ++row) {
          const bool written = fill == CUBLAS_FILL_MODE_LOWER ? row >= column : row <= column;
          double want = c.at(row, column) * beta, terms = std::abs(want);
          for (int i = 0; i < kK; ++i) {
            want += alpha * a.at(row, i, transpose) * a.at(column, i, transpose);
            terms += std::abs(alpha * a.at(row, i, transpose) * a.at(column, i, transpose));
          }
          ASSERT_NEAR(got[c.index(row, column)], written ? want : c.at(row, column),
                      written ? (kK + 4) * kUnit<float> * terms : 0);
        }
    }
}

// The interfaces of 64 bits have the bits of those of 32.
TEST_F(SimtCublasTest, TakesSizesOf64Bits) {
  constexpr int kN = 17, kK = 33;
  const auto a = stored<double>(kN, kK, false, 1);
  const Stored<double> narrow(kN, kN, 2), wide(kN, kN, 2);
  const double alpha = 2, beta = 0.5;
  const int lda = a.leading_dimension, ldc = narrow.leading_dimension;
  const auto expect_alike = [&] {
    wait();
    EXPECT_EQ(narrow.download(), wide.download());
    EXPECT_NE(narrow.download(), narrow.host);
  };
  EXPECT_EQ(
      cublasDsyrk(blas_, CUBLAS_FILL_MODE_LOWER, CUBLAS_OP_N, kN, kK, &alpha, a.device, lda, &beta, narrow.device, ldc),
      CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(cublasDsyrk_64(blas_, CUBLAS_FILL_MODE_LOWER, CUBLAS_OP_N, kN, kK, &alpha, a.device, lda, &beta,
                           wide.device, ldc),
            CUBLAS_STATUS_SUCCESS);
  expect_alike();
  EXPECT_EQ(cublasDgemm(blas_, CUBLAS_OP_N, CUBLAS_OP_T, kN, kN, kK, &alpha, a.device, lda, a.device, lda, &beta,
                        narrow.device, ldc),
            CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(cublasDgemm_64(blas_, CUBLAS_OP_N, CUBLAS_OP_T, kN, kN, kK, &alpha, a.device, lda, a.device, lda, &beta,
                           wide.device, ldc),
            CUBLAS_STATUS_SUCCESS);
  expect_alike();
}

TEST_F(SimtCublasTest, DoesNotReadWhatItsScalarsMakeNeedless) {
  constexpr int kSize = 3;
  const Stored<float> a(kSize, kSize, 1, 0), b(kSize, kSize, 2, 0);
  float *fresh = nullptr, *result = nullptr;  // NaN throughout
  ASSERT_EQ(cudaMalloc(&fresh, a.bytes()), cudaSuccess);
  ASSERT_EQ(cudaMalloc(&result, a.bytes()), cudaSuccess);
  const float zero = 0, one = 1;
  const auto multiply = [&](const float* alpha, const float* left, const float* beta) {
    EXPECT_EQ(cublasSgemm(blas_, CUBLAS_OP_N, CUBLAS_OP_N, kSize, kSize, kSize, alpha, left, kSize, b.device, kSize,
                          beta, result, kSize),
              CUBLAS_STATUS_SUCCESS);
    std::vector<float> values(kSize * kSize);
    wait();
    EXPECT_EQ(cudaMemcpy(values.data(), result, a.bytes(), cudaMemcpyDeviceToHost), cudaSuccess);
    return values;
  };
  EXPECT_THAT(multiply(&one, a.device, &zero), Each(testing::Not(testing::IsNan())));
  EXPECT_THAT(multiply(&zero, fresh, &one), Each(testing::Not(testing::IsNan())));
  EXPECT_THAT(multiply(&one, fresh, &zero), Each(testing::IsNan()));  // and reads the rest
  EXPECT_THAT(multiply(&one, a.device, &one), Each(testing::IsNan()));
}

TEST_F(SimtCublasTest, ExecutesInTheOrderOfItsStream) {
  const Stored<float> a(4, 4, 1), b(4, 4, 2), d(4, 4, 3);
  const float alpha = 1, beta = 0;
  ASSERT_EQ(cudaMemsetAsync(a.device, 0, a.bytes(), stream_), cudaSuccess);
  ASSERT_EQ(cublasSgemm(blas_, CUBLAS_OP_N, CUBLAS_OP_N, 4, 4, 4, &alpha, a.device, a.leading_dimension, b.device,
                        b.leading_dimension, &beta, d.device, d.leading_dimension),
            CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(counters().pending, 2u);
  wait();
  const auto got = d.download();
  for (int row = 0; row < 4; ++row) EXPECT_EQ(got[d.index(row, 2)], 0);
}

TEST_F(SimtCublasTest, RefusesWhatCublasRefuses) {
  const Stored<float> a(4, 5, 1, 0), b(5, 6, 2, 0), d(4, 6, 3, 0);
  const float one = 1;
  struct Call {
    int m = 4, n = 6, k = 5, lda = 4, ldb = 5, ldc = 4;
    cublasOperation_t operation_a = CUBLAS_OP_N;
  };
  const auto status = [&](const Call& call) {
    return cublasSgemm(blas_, call.operation_a, CUBLAS_OP_N, call.m, call.n, call.k, &one, a.device, call.lda, b.device,
                       call.ldb, &one, d.device, call.ldc);
  };
  EXPECT_EQ(status({}), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(status({.m = 0}), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(status({.m = -1}), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(status({.n = -1}), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(status({.k = -1}), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(status({.lda = 3}), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(status({.lda = 4, .operation_a = CUBLAS_OP_T}), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(status({.ldb = 4}), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(status({.ldc = 3}), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(status({.operation_a = CUBLAS_OP_CONJG}), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(cublasSgemm(blas_, CUBLAS_OP_N, CUBLAS_OP_N, 4, 6, 5, nullptr, a.device, 4, b.device, 5, &one, d.device, 4),
            CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(cublasSgemm(nullptr, CUBLAS_OP_N, CUBLAS_OP_N, 4, 6, 5, &one, a.device, 4, b.device, 5, &one, d.device, 4),
            CUBLAS_STATUS_NOT_INITIALIZED);
  EXPECT_EQ(cublasGemmEx(blas_, CUBLAS_OP_N, CUBLAS_OP_N, 4, 6, 5, &one, a.device, CUDA_R_16BF, 4, b.device, CUDA_R_16F,
                         5, &one, d.device, CUDA_R_32F, 4, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
            CUBLAS_STATUS_NOT_SUPPORTED);
  EXPECT_EQ(cublasGemmEx(blas_, CUBLAS_OP_N, CUBLAS_OP_N, 4, 6, 5, &one, a.device, CUDA_R_16F, 4, b.device, CUDA_R_16F,
                         5, &one, d.device, CUDA_R_16F, 4, CUBLAS_COMPUTE_16F, CUBLAS_GEMM_DEFAULT),
            CUBLAS_STATUS_NOT_SUPPORTED);
  EXPECT_EQ(cublasSetMathMode(blas_, static_cast<cublasMath_t>(12)), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(cublasSetWorkspace(blas_, a.device + 1, 4), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(cublasSetWorkspace(blas_, a.device, a.bytes() + 1), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(cublasSetWorkspace(blas_, a.device, a.bytes()), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(cublasCreate(nullptr), CUBLAS_STATUS_INVALID_VALUE);
  int version = 0;
  EXPECT_EQ(cublasGetVersion(blas_, &version), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(version, CUBLAS_VERSION);
  EXPECT_STREQ(cublasGetStatusName(CUBLAS_STATUS_NOT_SUPPORTED), "CUBLAS_STATUS_NOT_SUPPORTED");
}

TEST_F(SimtCublasTest, FaultsOnMemoryThatIsNotTheDevices) {
  const Stored<float> a(4, 4, 1, 0), b(4, 4, 2, 0);
  std::vector<float> host(16);
  const float one = 1, zero = 0;
  ASSERT_EQ(
      cublasSgemm(blas_, CUBLAS_OP_N, CUBLAS_OP_N, 4, 4, 4, &one, a.device, 4, b.device, 4, &zero, host.data(), 4),
      CUBLAS_STATUS_SUCCESS);  // found when it executes
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaErrorIllegalAddress);
  EXPECT_THAT(last_fault(), HasSubstr("cublasSgemm: D: its 64 bytes do not lie"));
  EXPECT_EQ(cublasSetStream(blas_, stream_), CUBLAS_STATUS_EXECUTION_FAILED);
}

TEST_F(SimtCublasTest, FaultsOnMatricesThatReachBeyondTheirAllocation) {
  const Stored<float> a(4, 4, 1, 0), b(4, 4, 2, 0), d(4, 4, 3, 0);
  const float one = 1, zero = 0;
  ASSERT_EQ(
      cublasSgemm(blas_, CUBLAS_OP_N, CUBLAS_OP_N, 4, 4, 4, &one, a.device + 1, 4, b.device, 4, &zero, d.device, 4),
      CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaErrorIllegalAddress);
  EXPECT_THAT(last_fault(), HasSubstr("cublasSgemm: A"));
}

TEST_F(SimtCublasTest, FailsTheCallThatATestNamesAndLeaksNothing) {
  cublasHandle_t handle = nullptr;
  fail_call("cublasCreate", 1, CUBLAS_STATUS_ALLOC_FAILED);
  EXPECT_EQ(cublasCreate(&handle), CUBLAS_STATUS_ALLOC_FAILED);
  EXPECT_EQ(handle, nullptr);
  ASSERT_EQ(cublasCreate(&handle), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(counters().blas_handles, 3u);
  fail_call(1);
  EXPECT_EQ(cublasDestroy(handle), CUBLAS_STATUS_INTERNAL_ERROR);
  EXPECT_EQ(counters().blas_handles, 2u);
  EXPECT_EQ(cublasDestroy(handle), CUBLAS_STATUS_NOT_INITIALIZED);
}

// --- cuBLASLt ---

// D = epilogue(A^T B) as the linear layers have it: A is [k,m], B [k,n], and a bias for each row of D.
template <typename In, typename Out>
struct Matmul {
  Stored<In> a;
  Stored<In> b;
  Stored<Out> c;
  Stored<Out> d;
  Stored<Out> bias;
  cublasLtMatmulDesc_t description = nullptr;
  std::array<cublasLtMatrixLayout_t, 4> layouts{};
  cublasLtMatmulPreference_t preference = nullptr;
  float alpha = 1, beta = 0;

  Matmul(int m, int n, int k) : a(k, m, 1), b(k, n, 2), c(m, n, 3), d(m, n, 4), bias(m, 1, 5) {
    EXPECT_EQ(cublasLtMatmulDescCreate(&description, CUBLAS_COMPUTE_32F, CUDA_R_32F), CUBLAS_STATUS_SUCCESS);
    set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
    set_layout(0, a);
    set_layout(1, b);
    set_layout(2, c);
    set_layout(3, d);
    EXPECT_EQ(cublasLtMatmulPreferenceCreate(&preference), CUBLAS_STATUS_SUCCESS);
  }
  Matmul(const Matmul&) = delete;
  ~Matmul() {
    EXPECT_EQ(cublasLtMatmulDescDestroy(description), CUBLAS_STATUS_SUCCESS);
    for (const auto layout : layouts) EXPECT_EQ(cublasLtMatrixLayoutDestroy(layout), CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(cublasLtMatmulPreferenceDestroy(preference), CUBLAS_STATUS_SUCCESS);
  }

  template <typename Element>
  void set_layout(std::size_t index, const Stored<Element>& matrix) {
    EXPECT_EQ(cublasLtMatrixLayoutCreate(&layouts[index], kType<Element>, static_cast<std::uint64_t>(matrix.rows),
                                         static_cast<std::uint64_t>(matrix.columns), matrix.leading_dimension),
              CUBLAS_STATUS_SUCCESS);
  }

  template <typename Value>
  void set(cublasLtMatmulDescAttributes_t attribute, Value value) {
    EXPECT_EQ(cublasLtMatmulDescSetAttribute(description, attribute, &value, sizeof value), CUBLAS_STATUS_SUCCESS);
  }

  void set_epilogue(cublasLtEpilogue_t epilogue) {
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
    set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias.device);
  }

  cublasStatus_t run(cublasLtHandle_t lt, cudaStream_t stream, const cublasLtMatmulAlgo_t* algorithm = nullptr,
                     void* workspace = nullptr, std::size_t workspace_bytes = 0) const {
    return cublasLtMatmul(lt, description, &alpha, a.device, layouts[0], b.device, layouts[1], &beta, c.device,
                          layouts[2], d.device, layouts[3], algorithm, workspace, workspace_bytes, stream);
  }

  // The sum in double and the sum of its terms' magnitudes, before bias and activation.
  std::pair<double, double> sum(int row, int column) const {
    double value = beta * c.at(row, column), terms = std::abs(value);
    for (int i = 0; i < a.rows; ++i) {
      value += alpha * a.at(i, row) * b.at(i, column);
      terms += std::abs(alpha * a.at(i, row) * b.at(i, column));
    }
    return {value, terms};
  }
};

double gelu_by_tanh(double x) {
  return x / 2 * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
}

// Both activations have slopes within [-0.2, 1.2], so what errs before them errs at most 1.2 times as much after; GELU
// itself adds some roundings of a value no larger than |x|. Then one rounding to the result's type.
template <typename In, typename Out>
void expect_epilogue(cublasLtHandle_t lt, cudaStream_t stream, cublasLtEpilogue_t epilogue) {
  for (const auto& [m, n, k] : {std::array{1, 1, 1}, std::array{17, 31, 33}, std::array{65, 3, 127}}) {
    Matmul<In, Out> matmul(m, n, k);
    matmul.beta = 0.5;
    matmul.set_epilogue(epilogue);
    ASSERT_EQ(matmul.run(lt, stream), CUBLAS_STATUS_SUCCESS);
    ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    const auto got = matmul.d.download();
    for (int column = 0; column < n; ++column)
      for (int row = 0; row < m; ++row) {
        auto [value, terms] = matmul.sum(row, column);
        if (epilogue & CUBLASLT_EPILOGUE_BIAS) {
          value += matmul.bias.at(row, 0);
          terms += std::abs(matmul.bias.at(row, 0));
        }
        double want = value;
        if (epilogue & CUBLASLT_EPILOGUE_RELU) want = std::max(value, 0.0);
        if (epilogue & CUBLASLT_EPILOGUE_GELU) want = gelu_by_tanh(value);
        constexpr double kGeluRoundings = 8;
        const double bound = 1.2 * (k + 4) * kUnit<float> * terms + kGeluRoundings * kUnit<float> * std::abs(value) +
                             kUnit<Out> * std::abs(want);
        ASSERT_NEAR(to_double(got[matmul.d.index(row, column)]), want, bound * (1 + 1e-3)) << epilogue;
      }
  }
}

TEST_F(SimtCublasTest, AppliesEpilogues) {
  for (const auto epilogue : {CUBLASLT_EPILOGUE_DEFAULT, CUBLASLT_EPILOGUE_BIAS, CUBLASLT_EPILOGUE_RELU,
                              CUBLASLT_EPILOGUE_RELU_BIAS, CUBLASLT_EPILOGUE_GELU, CUBLASLT_EPILOGUE_GELU_BIAS}) {
    expect_epilogue<float, float>(lt_, stream_, epilogue);
    expect_epilogue<__nv_bfloat16, __nv_bfloat16>(lt_, stream_, epilogue);
    expect_epilogue<__nv_bfloat16, float>(lt_, stream_, epilogue);
    expect_epilogue<__half, __half>(lt_, stream_, epilogue);
  }
}

// cuBLASLt's GELU is the approximation by tanh: near 2.7 it is off the exact one by 4.7e-4, and so are its callers.
TEST_F(SimtCublasTest, ApproximatesGeluByTanh) {
  Matmul<float, float> matmul(1, 1, 1);
  matmul.a.host[0] = 2.7f;
  matmul.b.host[0] = 1;
  matmul.a.upload();
  matmul.b.upload();
  matmul.set_epilogue(CUBLASLT_EPILOGUE_GELU);
  ASSERT_EQ(matmul.run(lt_, stream_), CUBLAS_STATUS_SUCCESS);
  wait();
  const double got = matmul.d.download()[0], x = 2.7f;
  const double exact = x / 2 * std::erfc(-x / std::numbers::sqrt2);
  EXPECT_NEAR(got, gelu_by_tanh(x), 8 * kUnit<float> * x);
  EXPECT_NEAR(std::abs(got - exact), 4.73e-4, 1e-6);
}

TEST_F(SimtCublasTest, RoundsItsInputsToTf32WhereTheDescriptionSaysSo) {
  Matmul<float, float> matmul(1, 1, 1);
  matmul.a.host[0] = 1 + 0x1p-20f;
  matmul.b.host[0] = 1;
  matmul.a.upload();
  matmul.b.upload();
  matmul.set(CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, CUBLAS_COMPUTE_32F_FAST_TF32);
  ASSERT_EQ(matmul.run(lt_, stream_), CUBLAS_STATUS_SUCCESS);
  wait();
  EXPECT_EQ(matmul.d.download()[0], 1);
}

std::vector<cublasLtMatmulHeuristicResult_t> algorithms(cublasLtHandle_t lt, const Matmul<float, float>& matmul,
                                                        std::uint64_t workspace_bytes) {
  EXPECT_EQ(cublasLtMatmulPreferenceSetAttribute(matmul.preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                 &workspace_bytes, sizeof workspace_bytes),
            CUBLAS_STATUS_SUCCESS);
  std::vector<cublasLtMatmulHeuristicResult_t> results(8);
  int returned = -1;
  EXPECT_EQ(
      cublasLtMatmulAlgoGetHeuristic(lt, matmul.description, matmul.layouts[0], matmul.layouts[1], matmul.layouts[2],
                                     matmul.layouts[3], matmul.preference, 8, results.data(), &returned),
      CUBLAS_STATUS_SUCCESS);
  results.resize(static_cast<std::size_t>(returned));
  return results;
}

TEST_F(SimtCublasTest, OffersAlgorithmsThatTheWorkspaceAllows) {
  const Matmul<float, float> matmul(4, 5, 6);
  EXPECT_EQ(algorithms(lt_, matmul, 0).size(), 1u);
  const auto offered = algorithms(lt_, matmul, 64 << 20);
  ASSERT_EQ(offered.size(), 2u);
  const std::size_t bytes = offered[0].workspaceSize;
  EXPECT_GT(bytes, 0u);
  EXPECT_EQ(offered[1].workspaceSize, 0u);
  std::byte* workspace = nullptr;
  ASSERT_EQ(cudaMalloc(&workspace, bytes), cudaSuccess);
  const auto status = [&](const cublasLtMatmulAlgo_t& algorithm, void* memory, std::size_t size) {
    return matmul.run(lt_, stream_, &algorithm, memory, size);
  };
  EXPECT_EQ(status(offered[0].algo, workspace, bytes), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(status(offered[1].algo, nullptr, 0), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(status(offered[0].algo, workspace, bytes - 1), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(status(offered[0].algo, nullptr, bytes), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(status(offered[0].algo, workspace, bytes + 1), CUBLAS_STATUS_INVALID_VALUE);        // not all of it exists
  EXPECT_EQ(status(offered[1].algo, workspace + 16, bytes - 16), CUBLAS_STATUS_INVALID_VALUE);  // unaligned
  EXPECT_EQ(status(cublasLtMatmulAlgo_t{}, workspace, bytes), CUBLAS_STATUS_INVALID_VALUE);     // from nowhere
}

// As a device would fault, or worse, where a matrix lies less well than the caller said.
TEST_F(SimtCublasTest, HoldsTheCallerToTheAlignmentOfItsPreference) {
  Matmul<float, float> matmul(4, 5, 6);
  const auto status = [&](float* d) {
    const auto algorithm = algorithms(lt_, matmul, 0).front().algo;
    return cublasLtMatmul(lt_, matmul.description, &matmul.alpha, matmul.a.device, matmul.layouts[0], matmul.b.device,
                          matmul.layouts[1], &matmul.beta, matmul.c.device, matmul.layouts[2], d, matmul.layouts[3],
                          &algorithm, nullptr, 0, stream_);
  };
  float* moved = nullptr;
  ASSERT_EQ(cudaMalloc(&moved, 256), cudaSuccess);
  EXPECT_EQ(status(moved), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(status(moved + 4), CUBLAS_STATUS_INVALID_VALUE);
  for (const std::uint32_t alignment : {16u, 4u}) {
    ASSERT_EQ(cublasLtMatmulPreferenceSetAttribute(matmul.preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
                                                   &alignment, sizeof alignment),
              CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(status(moved + 4), CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(status(moved + 1), alignment == 4 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE);
  }
}

TEST_F(SimtCublasTest, RefusesWhatCublasLtRefuses) {
  Matmul<float, float> matmul(4, 5, 6);
  const auto status = [&] { return matmul.run(lt_, stream_); };
  EXPECT_EQ(matmul.run(nullptr, stream_), CUBLAS_STATUS_NOT_INITIALIZED);
  EXPECT_EQ(status(), CUBLAS_STATUS_SUCCESS);

  matmul.set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);  // without a bias
  EXPECT_EQ(status(), CUBLAS_STATUS_INVALID_VALUE);
  matmul.set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_DGELU);
  EXPECT_EQ(status(), CUBLAS_STATUS_NOT_SUPPORTED);
  matmul.set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_DEFAULT);

  matmul.set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_N);  // shapes no longer fit
  EXPECT_EQ(status(), CUBLAS_STATUS_INVALID_VALUE);
  matmul.set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);

  matmul.set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, std::int32_t{CUDA_R_16BF});
  EXPECT_EQ(status(), CUBLAS_STATUS_NOT_SUPPORTED);
  matmul.set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, std::int32_t{-1});

  const std::int64_t short_columns = matmul.a.rows - 1, right = matmul.a.leading_dimension;
  const auto set_leading_dimension = [&](const std::int64_t& value, std::size_t bytes) {
    return cublasLtMatrixLayoutSetAttribute(matmul.layouts[0], CUBLASLT_MATRIX_LAYOUT_LD, &value, bytes);
  };
  EXPECT_EQ(set_leading_dimension(short_columns, 4), CUBLAS_STATUS_INVALID_VALUE);  // not the attribute's size
  ASSERT_EQ(set_leading_dimension(short_columns, 8), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(status(), CUBLAS_STATUS_INVALID_VALUE);
  ASSERT_EQ(set_leading_dimension(right, 8), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(status(), CUBLAS_STATUS_SUCCESS);

  EXPECT_EQ(cublasLtMatmul(lt_, matmul.description, nullptr, matmul.a.device, matmul.layouts[0], matmul.b.device,
                           matmul.layouts[1], &matmul.beta, matmul.c.device, matmul.layouts[2], matmul.d.device,
                           matmul.layouts[3], nullptr, nullptr, 0, stream_),
            CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(cublasLtMatmulDescDestroy(nullptr), CUBLAS_STATUS_INVALID_VALUE);
}

TEST_F(SimtCublasTest, MultipliesBatchesWithCublasLt) {
  constexpr int kBatches = 2, kM = 3, kN = 4, kK = 5;
  Matmul<float, float> matmul(kM, kN, kK);
  const Stored<float> a(kK, kM * kBatches, 7), b(kK, kN * kBatches, 8), d(kM, kN * kBatches, 9);
  const std::int32_t batches = kBatches;
  const std::array<std::int64_t, 4> strides{kM * a.leading_dimension, kN * b.leading_dimension,
                                            kN * d.leading_dimension, kN * d.leading_dimension};
  for (std::size_t i = 0; i < 4; ++i) {
    ASSERT_EQ(cublasLtMatrixLayoutSetAttribute(matmul.layouts[i], CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batches,
                                               sizeof batches),
              CUBLAS_STATUS_SUCCESS);
    ASSERT_EQ(cublasLtMatrixLayoutSetAttribute(matmul.layouts[i], CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                               &strides[i], sizeof strides[i]),
              CUBLAS_STATUS_SUCCESS);
  }
  const float alpha = 1, beta = 0;
  ASSERT_EQ(
      cublasLtMatmul(lt_, matmul.description, &alpha, a.device, matmul.layouts[0], b.device, matmul.layouts[1], &beta,
                     nullptr, matmul.layouts[2], d.device, matmul.layouts[3], nullptr, nullptr, 0, stream_),
      CUBLAS_STATUS_SUCCESS);
  wait();
  const auto got = d.download();
  for (int batch = 0; batch < kBatches; ++batch)
    for (int column = 0; column < kN; ++column)
      for (int row = 0; row < kM; ++row) {
        double want = 0, terms = 0;
        for (int i = 0; i < kK; ++i) {
          want += a.at(i, batch * kM + row) * b.at(i, batch * kN + column);
          terms += std::abs(a.at(i, batch * kM + row) * b.at(i, batch * kN + column));
        }
        ASSERT_NEAR(got[d.index(row, batch * kN + column)], want, (kK + 3) * kUnit<float> * terms);
      }
}

}  // namespace
}  // namespace lexiscope::simt
