// Products by cuBLASLt in place of the cuda engine's own: the same results, whatever follows the sums.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/cublas_lt_product.h"
#include "kernels/cuda/linear.h"
#include "kernels/cuda/perceptron.h"
#include "lexiscope/error.h"
#include "simt/runtime.h"
#include "tests/support/device_array.h"
#include "tests/support/device_weights.h"
#include "tests/support/emulated_device.h"
#include "tests/support/product_bounds.h"

namespace lexiscope::testing {
namespace {

using cuda::PackedWeights;

// cuBLASLt and its workspace on the device.
struct Library {
  DeviceArray<std::uint8_t> workspace{cuda::CublasLtProduct::kWorkspaceBytes};
  cuda::CublasLtProduct product{workspace.data()};
};

constexpr std::size_t kRows = 9, kIn = 21, kOut = 35, kUnits = 30, kStride = kOut + 2;

// Multiples of 1/4 up to 1: whatever the order, sums of their products are exact.
std::vector<float> quarters(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(static_cast<int>(random() % 9) - 4) / 4;
  return values;
}

class CudaCublasLt : public ::testing::TestWithParam<DType> {
 protected:
  MatrixView<const float> x() const { return {x_.data(), kRows, kIn, kIn}; }

  static DeviceWeights weights(std::size_t rows, std::size_t columns, unsigned seed) {
    return {rows, columns, GetParam(), quarters(rows * columns, seed)};
  }

  /// run(y) on rows that begin as the residual, [kRows, kStride]: what they are afterwards.
  template <typename Run>
  std::vector<float> result(const Run& run) const {
    const DeviceArray<float> y{residual_};
    run(MatrixView<float>{y.data(), kRows, kOut, kStride});
    EXPECT_EQ(cudaStreamSynchronize(nullptr), cudaSuccess) << simt::last_fault();
    return y.values();
  }

  DeviceArray<float> x_{quarters(kRows * kIn, 1)}, bias_{quarters(kOut, 3)};
  std::vector<float> residual_ = quarters(kRows * kStride, 2);
  Library library_;
};

INSTANTIATE_TEST_SUITE_P(Types, CudaCublasLt, ::testing::Values(DType::f32, DType::bf16));

TEST_P(CudaCublasLt, GivesTheLinearLayersBitsWhateverFollowsIt) {
  const DeviceWeights weight = weights(kOut, kIn, 4);
  const auto run = [&](LinearArgs args, bool with_residual, cuda::CublasLtProduct* library) {
    return result([&](MatrixView<float> y) {
      args.y = y;
      if (with_residual) args.residual = y;
      const cuda::ProductConfig config{.library = library};
      const DeviceArray<float> workspace(cuda::linear_workspace(args, weight.view(), config) / 4 + 1);
      cuda::linear(args, weight.view(), config, workspace.data(), nullptr);
      ASSERT_EQ(cudaStreamSynchronize(nullptr), cudaSuccess) << simt::last_fault();
    });
  };
  for (const Activation activation : {Activation::none, Activation::gelu_erf, Activation::gelu_tanh, Activation::silu})
    for (const bool with_bias : {false, true})
      for (const bool with_residual : {false, true}) {
        LinearArgs args{.x = x(), .activation = activation};
        if (with_bias) args.bias = {bias_.data(), kOut};
        EXPECT_EQ(run(args, with_residual, &library_.product), run(args, with_residual, nullptr))
            << static_cast<int>(activation) << with_bias << with_residual;
      }
}

// cuBLASLt may count on an alignment only where there is one.
TEST_P(CudaCublasLt, TakesRowsThatBeginAnywhere) {
  const DeviceWeights weight = weights(kOut, kIn, 4);
  const DeviceArray<float> bias{quarters(kOut + 2, 5)}, x{quarters(kRows * kStride + 2, 6)};
  for (const std::size_t offset : {1, 2}) {
    const auto run = [&](cuda::CublasLtProduct* library) {
      const DeviceArray<float> y{quarters(kRows * kStride + 2, 7)};
      const MatrixView<float> rows{y.data() + offset, kRows, kOut, kStride};
      const LinearArgs args{.x = {x.data() + offset, kRows, kIn, kStride},
                            .bias = {bias.data() + offset, kOut},
                            .residual = rows,
                            .y = rows};
      const cuda::ProductConfig config{.library = library};
      const DeviceArray<float> workspace(cuda::linear_workspace(args, weight.view(), config) / 4 + 1);
      cuda::linear(args, weight.view(), config, workspace.data(), nullptr);
      EXPECT_EQ(cudaStreamSynchronize(nullptr), cudaSuccess) << simt::last_fault();
      return y.values();
    };
    EXPECT_EQ(run(&library_.product), run(nullptr)) << offset;
  }
}

// Whatever the shapes were before, with one bias and then another.
TEST_P(CudaCublasLt, AsksForAnAlgorithmOnceAShapeAndKeepsSoMany) {
  constexpr std::size_t kMost = cuda::CublasLtProduct::kMostKept, kRowsOfAll = kMost + 1;
  const DeviceWeights weight = weights(kOut, kIn, 4);
  const DeviceArray<float> x{quarters(kRowsOfAll * kIn, 5)}, other_bias{quarters(kOut, 6)}, y(kRowsOfAll * kOut);
  const auto run = [&](std::size_t rows, const DeviceArray<float>& bias, cuda::CublasLtProduct* library) {
    const LinearArgs args{
        .x = {x.data(), rows, kIn, kIn}, .bias = {bias.data(), kOut}, .y = {y.data(), rows, kOut, kOut}};
    const cuda::ProductConfig config{.library = library};
    const DeviceArray<float> workspace(cuda::linear_workspace(args, weight.view(), config) / 4 + 1);
    cuda::linear(args, weight.view(), config, workspace.data(), nullptr);
    EXPECT_EQ(cudaStreamSynchronize(nullptr), cudaSuccess) << simt::last_fault();
    auto values = y.values();
    values.resize(rows * kOut);
    return values;
  };
  const auto asks = [&](std::size_t rows) {
    simt::fail_call("cublasLtMatmulAlgoGetHeuristic", 1, CUBLAS_STATUS_INTERNAL_ERROR);
    const bool failed = failure_of([&] { run(rows, bias_, &library_.product); }).has_value();
    simt::clear_failures();
    return failed;
  };
  EXPECT_TRUE(asks(1));
  EXPECT_TRUE(asks(1));  // nothing was kept of what failed
  EXPECT_EQ(simt::counters().blas_descriptors, 0u);
  for (std::size_t rows = 1; rows <= kMost; ++rows) run(rows, bias_, &library_.product);
  for (std::size_t rows = 1; rows <= kMost; ++rows) EXPECT_FALSE(asks(rows)) << rows;
  const std::size_t held = simt::counters().blas_descriptors;
  EXPECT_EQ(held, 5 * kMost);  // a product and four layouts
  EXPECT_EQ(run(7, other_bias, &library_.product), run(7, other_bias, nullptr));
  EXPECT_EQ(run(7, bias_, &library_.product), run(7, bias_, nullptr));

  run(kRowsOfAll, bias_, &library_.product);  // in the first one's place
  EXPECT_EQ(simt::counters().blas_descriptors, held);
  EXPECT_FALSE(asks(kRowsOfAll));
  EXPECT_FALSE(asks(2));
  EXPECT_TRUE(asks(1));
  EXPECT_EQ(run(1, bias_, &library_.product), run(1, bias_, nullptr));
  EXPECT_TRUE(asks(2));  // the next to go
}

// Which of them are is for the tests of that choice; here, that each product is asked for by its own shape.
TEST(CudaCublasLtChoice, IsMadeForEachProductAndNeedsRowsOnPieces) {
  cudaDeviceProp device{};
  device.multiProcessorCount = 132;
  alignas(16) float memory[4] = {};
  const auto weights = [](std::size_t rows, std::size_t columns) {
    return PackedWeights{.dtype = DType::bf16, .rows = rows, .columns = columns, .stride = columns};
  };
  const auto rows = [&](float* data, std::size_t columns) { return MatrixView<float>{data, 4096, columns, columns}; };
  const auto linear = [&](std::size_t in, std::size_t out, float* y, const float* bias) {
    const LinearArgs args{.x = rows(memory, in), .bias = {bias, out}, .y = rows(y, out)};
    return cuda::choose_linear_config(args, weights(out, in), device).library_is_faster;
  };
  EXPECT_TRUE(linear(1024, 4096, memory, memory));
  EXPECT_TRUE(linear(1024, 4096, memory, nullptr));
  EXPECT_FALSE(linear(128, 4096, memory, memory));
  EXPECT_FALSE(linear(1024, 4096, memory + 1, memory));
  EXPECT_FALSE(linear(1024, 4096, memory, memory + 1));
  EXPECT_FALSE(linear(1024, 4097, memory, memory));

  const auto perceptron = [&](std::size_t in, std::size_t units, std::size_t out, bool gated, float* y) {
    cuda::Perceptron work{};
    work.x = rows(memory, in);
    work.up = weights(units, in);
    work.down = weights(out, units);
    if (gated) work.gate = work.up, work.gate.data = memory;
    work.y = rows(y, out);
    const auto config = cuda::choose_perceptron_config(work, device);
    return std::pair(config.up.library_is_faster, config.down.library_is_faster);
  };
  EXPECT_EQ(perceptron(1024, 4096, 1024, false, memory), std::pair(true, true));
  EXPECT_EQ(perceptron(1024, 4096, 1024, false, memory + 1), std::pair(true, false));
  EXPECT_EQ(perceptron(128, 4096, 128, false, memory), std::pair(false, true));
  EXPECT_EQ(perceptron(4096, 128, 4096, false, memory), std::pair(true, false));
  EXPECT_EQ(perceptron(1024, 128, 1024, false, memory), std::pair(false, false));
  EXPECT_EQ(perceptron(1024, 128, 1024, true, memory), std::pair(true, false));  // 2^29 products twice
}

// Hidden units have the same bits, but the sums of down are in another order: |h| < 22 without a gate and 22^2 with
// one.
TEST_P(CudaCublasLt, IsThePerceptronWithAGateAndWithout) {
  const DeviceWeights gate = weights(kUnits, kIn, 4), up = weights(kUnits, kIn, 5), down = weights(kOut, kUnits, 6);
  const auto run = [&](bool gated, cuda::CublasLtProduct* library) {
    return result([&](MatrixView<float> y) {
      const cuda::Perceptron work{.x = x(),
                                  .gate = gated ? gate.view() : PackedWeights{},
                                  .gate_bias = {},
                                  .up = up.view(),
                                  .up_bias = {bias_.data(), kUnits},
                                  .down = down.view(),
                                  .down_bias = {bias_.data(), kOut},
                                  .activation = gated ? Activation::silu : Activation::gelu_erf,
                                  .residual = y,
                                  .y = y};
      const cuda::PerceptronConfig config{{.library = library}, {.library = library}};
      const DeviceArray<float> workspace(cuda::perceptron_workspace(work, config) / 4 + 1);
      cuda::perceptron(work, config, workspace.data(), nullptr);
      ASSERT_EQ(cudaStreamSynchronize(nullptr), cudaSuccess) << simt::last_fault();
    });
  };
  for (const bool gated : {false, true}) {
    const auto got = run(gated, &library_.product), want = run(gated, nullptr);
    const double magnitude = kUnits * (gated ? 22.0 * 22 : 22.0) + 2;
    for (std::size_t i = 0; i < got.size(); ++i)
      ASSERT_NEAR(got[i], want[i], 2 * sum_bound(kUnits, magnitude, GetParam())) << i / kStride << ", " << i % kStride;
  }
}

TEST(CudaCublasLtErrors, NameTheCallAndTheStatus) {
  Library library;
  DeviceArray<float> x(quarters(8, 1)), y(std::vector<float>(8));
  const DeviceWeights weight(4, 4, DType::f32, quarters(16, 2));
  const LinearArgs args{.x = {x.data(), 2, 4, 4}, .y = {y.data(), 2, 4, 4}};
  const auto message = [&](const char* call, cublasStatus_t status) -> std::string {
    simt::fail_call(call, 1, status);
    try {
      cuda::linear(args, weight.view(), {.library = &library.product}, nullptr, nullptr);
    } catch (const Error& error) {
      return error.code() == ErrorCode::kDevice ? error.what() : "another code";
    }
    return "no error";
  };
  EXPECT_EQ(message("cublasLtMatrixLayoutCreate", CUBLAS_STATUS_ALLOC_FAILED),
            "cublasLtMatrixLayoutCreate failed: CUBLAS_STATUS_ALLOC_FAILED");
  EXPECT_EQ(simt::counters().blas_descriptors, 0u);  // nothing leaks on the way out
  EXPECT_EQ(message("cublasLtMatmul", CUBLAS_STATUS_EXECUTION_FAILED),
            "cublasLtMatmul failed: CUBLAS_STATUS_EXECUTION_FAILED");
  EXPECT_EQ(message("cublasLtMatmul", CUBLAS_STATUS_SUCCESS), "no error");
}

TEST(CudaCublasLtErrors, LeaveNothingBehind) {
  const auto before = simt::counters();
  {
    Library library;
    const DeviceArray<float> x(quarters(8, 1)), y(std::vector<float>(8));
    const DeviceWeights weight(4, 4, DType::f32, quarters(16, 2));
    const LinearArgs args{.x = {x.data(), 2, 4, 4}, .y = {y.data(), 2, 4, 4}};
    cuda::linear(args, weight.view(), {.library = &library.product}, nullptr, nullptr);
    EXPECT_GT(simt::counters().blas_descriptors, before.blas_descriptors);
  }
  EXPECT_EQ(simt::counters().blas_descriptors, before.blas_descriptors);
  EXPECT_EQ(simt::counters().blas_handles, before.blas_handles);
}

}  // namespace
}  // namespace lexiscope::testing
