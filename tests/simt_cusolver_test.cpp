// The stand-in for cuSOLVER's symmetric eigenproblem: residuals in both modes and triangles, that it works in the
// stream's order and in both workspaces, and its refusals.
#include <cuda_runtime.h>
#include <cusolverDn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "simt/runtime.h"

namespace lexiscope::simt {
namespace {

class SimtCusolverTest : public ::testing::Test {
 protected:
  static constexpr int kSize = 33, kStride = 36;

  SimtCusolverTest() : matrix_(kStride * kSize) {
    reset();
    EXPECT_EQ(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), cudaSuccess);
    EXPECT_EQ(cusolverDnCreate(&handle_), CUSOLVER_STATUS_SUCCESS);
    EXPECT_EQ(cusolverDnSetStream(handle_, stream_), CUSOLVER_STATUS_SUCCESS);
    EXPECT_EQ(cusolverDnCreateParams(&parameters_), CUSOLVER_STATUS_SUCCESS);
    std::mt19937 random(1);
    std::normal_distribution<double> normal;
    for (int row = 0; row < kSize; ++row)
      for (int column = 0; column <= row; ++column)
        matrix_[column * kStride + row] = matrix_[row * kStride + column] = normal(random);
    EXPECT_EQ(cudaMalloc(&a_, matrix_.size() * sizeof(double)), cudaSuccess);
    EXPECT_EQ(cudaMalloc(&w_, kSize * sizeof(double)), cudaSuccess);
    EXPECT_EQ(cudaMalloc(&info_, sizeof(int)), cudaSuccess);
    EXPECT_EQ(size(kSize, CUDA_R_64F), CUSOLVER_STATUS_SUCCESS);
    EXPECT_EQ(cudaMalloc(&scratch_, device_bytes_), cudaSuccess);
    host_.resize(host_bytes_);
  }
  ~SimtCusolverTest() override {
    cudaDeviceSynchronize();
    for (void* memory : {static_cast<void*>(a_), static_cast<void*>(w_), static_cast<void*>(info_), scratch_})
      cudaFree(memory);
    cusolverDnDestroy(handle_);
    cusolverDnDestroyParams(parameters_);
    cudaStreamDestroy(stream_);
    EXPECT_EQ(counters().solver_handles, 0u);
    reset();
  }

  cusolverStatus_t size(int n, cudaDataType type) {
    return cusolverDnXsyevd_bufferSize(handle_, parameters_, CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_LOWER, n, type,
                                       a_, kStride, CUDA_R_64F, w_, CUDA_R_64F, &device_bytes_, &host_bytes_);
  }
  cusolverStatus_t solve(cusolverEigMode_t mode, cublasFillMode_t triangle) {
    EXPECT_EQ(cudaMemcpyAsync(a_, matrix_.data(), matrix_.size() * sizeof(double), cudaMemcpyHostToDevice, stream_),
              cudaSuccess);
    return cusolverDnXsyevd(handle_, parameters_, mode, triangle, kSize, CUDA_R_64F, a_, kStride, CUDA_R_64F, w_,
                            CUDA_R_64F, scratch_, device_bytes_, host_.data(), host_bytes_, info_);
  }
  template <typename Element>
  std::vector<Element> download(const Element* from, std::size_t count) {
    EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
    std::vector<Element> values(count);
    EXPECT_EQ(cudaMemcpy(values.data(), from, count * sizeof(Element), cudaMemcpyDeviceToHost), cudaSuccess);
    return values;
  }

  std::vector<double> matrix_;  // by columns
  cudaStream_t stream_ = nullptr;
  cusolverDnHandle_t handle_ = nullptr;
  cusolverDnParams_t parameters_ = nullptr;
  double *a_ = nullptr, *w_ = nullptr;
  int* info_ = nullptr;
  void* scratch_ = nullptr;
  std::size_t device_bytes_ = 0, host_bytes_ = 0;
  std::vector<char> host_;
};

// Backward stable: a residual is at most 8 (n^2 + 2) v of the matrix's norm, v = 2^-53.
TEST_F(SimtCusolverTest, FindsEigenvectorsFromOneTriangle) {
  const std::vector<double> whole = matrix_;
  double norm = 0;
  for (const double value : whole) norm = std::hypot(norm, value);
  for (const auto triangle : {CUBLAS_FILL_MODE_LOWER, CUBLAS_FILL_MODE_UPPER}) {
    for (int column = 0; column < kSize; ++column)
      for (int row = 0; row < kSize; ++row)
        if (triangle == CUBLAS_FILL_MODE_LOWER ? row < column : row > column)
          matrix_[column * kStride + row] = std::nan("");
    ASSERT_EQ(solve(CUSOLVER_EIG_MODE_VECTOR, triangle), CUSOLVER_STATUS_SUCCESS);
    EXPECT_GT(counters().pending, 0u);
    const auto values = download(w_, kSize), vectors = download(a_, matrix_.size());
    EXPECT_EQ(download(info_, 1)[0], 0);
    for (int j = 0; j < kSize; ++j) {
      EXPECT_LE(values[std::max(j - 1, 0)], values[j]);
      double squares = 0;
      for (int row = 0; row < kSize; ++row) {
        double residual = -values[j] * vectors[j * kStride + row];
        for (int i = 0; i < kSize; ++i) residual += whole[i * kStride + row] * vectors[j * kStride + i];
        squares += residual * residual;
      }
      EXPECT_LE(std::sqrt(squares), 8 * (kSize * kSize + 2) * 0x1p-53 * norm);
    }
    matrix_ = whole;
  }
}

TEST_F(SimtCusolverTest, FindsEigenvaluesAlone) {
  ASSERT_EQ(solve(CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_LOWER), CUSOLVER_STATUS_SUCCESS);
  const auto with_vectors = download(w_, kSize);
  ASSERT_EQ(solve(CUSOLVER_EIG_MODE_NOVECTOR, CUBLAS_FILL_MODE_LOWER), CUSOLVER_STATUS_SUCCESS);
  const auto alone = download(w_, kSize);
  for (int j = 0; j < kSize; ++j) EXPECT_NEAR(alone[j], with_vectors[j], 1e-12);
}

TEST_F(SimtCusolverTest, TellsTheInfoThatATestAskedForOnce) {
  set_next_eigen_info(7);
  solve(CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_LOWER);
  EXPECT_EQ(download(info_, 1)[0], 7);
  solve(CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_LOWER);
  EXPECT_EQ(download(info_, 1)[0], 0);
}

TEST_F(SimtCusolverTest, WorksOnMemoryThatIsThereWhenItExecutes) {
  ASSERT_EQ(solve(CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_LOWER), CUSOLVER_STATUS_SUCCESS);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  double* const values = w_;
  cudaFree(w_);
  w_ = nullptr;
  const double* const matrix = a_;
  EXPECT_EQ(cusolverDnXsyevd(handle_, parameters_, CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_LOWER, kSize, CUDA_R_64F,
                             const_cast<double*>(matrix), kStride, CUDA_R_64F, values, CUDA_R_64F, scratch_,
                             device_bytes_, host_.data(), host_bytes_, info_),
            CUSOLVER_STATUS_SUCCESS);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaErrorIllegalAddress);
  EXPECT_THAT(last_fault(), ::testing::HasSubstr("cusolverDnXsyevd: W"));
}

TEST_F(SimtCusolverTest, RefusesWhatCuSolverDoes) {
  EXPECT_EQ(size(kSize, CUDA_R_32F), CUSOLVER_STATUS_NOT_SUPPORTED);
  EXPECT_EQ(size(kStride + 1, CUDA_R_64F), CUSOLVER_STATUS_INVALID_VALUE);
  EXPECT_EQ(size(-1, CUDA_R_64F), CUSOLVER_STATUS_INVALID_VALUE);
  ASSERT_EQ(size(kSize, CUDA_R_64F), CUSOLVER_STATUS_SUCCESS);
  --device_bytes_;
  EXPECT_EQ(solve(CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_LOWER), CUSOLVER_STATUS_INVALID_VALUE);
  ++device_bytes_;
  --host_bytes_;
  EXPECT_EQ(solve(CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_LOWER), CUSOLVER_STATUS_INVALID_VALUE);
  ++host_bytes_;
  EXPECT_EQ(solve(static_cast<cusolverEigMode_t>(5), CUBLAS_FILL_MODE_LOWER), CUSOLVER_STATUS_INVALID_VALUE);
  EXPECT_EQ(solve(CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_FULL), CUSOLVER_STATUS_INVALID_VALUE);
  EXPECT_EQ(cusolverDnSetDeterministicMode(handle_, CUSOLVER_DETERMINISTIC_RESULTS), CUSOLVER_STATUS_SUCCESS);
  EXPECT_EQ(cusolverDnSetDeterministicMode(handle_, static_cast<cusolverDeterministicMode_t>(9)),
            CUSOLVER_STATUS_INVALID_VALUE);
  EXPECT_EQ(cusolverDnSetStream(nullptr, stream_), CUSOLVER_STATUS_NOT_INITIALIZED);
  EXPECT_EQ(cusolverDnCreate(nullptr), CUSOLVER_STATUS_INVALID_VALUE);
  EXPECT_EQ(cusolverDnDestroy(nullptr), CUSOLVER_STATUS_NOT_INITIALIZED);
  set_device_count(0);
  EXPECT_EQ(cusolverDnSetStream(handle_, stream_), CUSOLVER_STATUS_NOT_INITIALIZED);
  set_device_count(1);
  fail_call("cusolverDnSetStream", 1, CUSOLVER_STATUS_ALLOC_FAILED);
  EXPECT_EQ(cusolverDnSetStream(handle_, stream_), CUSOLVER_STATUS_ALLOC_FAILED);
}

}  // namespace
}  // namespace lexiscope::simt
