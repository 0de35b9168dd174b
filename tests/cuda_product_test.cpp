// The tiles of the cuda engine's products: whichever is chosen, results have the same bits, and nothing beside them is
// touched. That these are the right bits is for the tests of the operations, with the tile that the engine chooses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tuple>
#include <vector>

#include "kernels/cuda/gelu_mlp.h"
#include "kernels/cuda/linear.h"
#include "kernels/cuda/swiglu_mlp.h"
#include "simt/runtime.h"
#include "tests/support/compare.h"
#include "tests/support/device_array.h"
#include "tests/support/device_weights.h"

namespace lexiscope::testing {
namespace {

using cuda::PackedWeights;
using cuda::TileKind;

constexpr TileKind kTiles[] = {TileKind::large, TileKind::medium, TileKind::skinny};

struct Shape {
  std::size_t rows, in, out;
};

// Workspace of exactly the bytes that were asked for, so that an access beyond is a fault.
template <typename Enqueue>
void run_with_workspace(std::size_t bytes, const Enqueue& enqueue) {
  DeviceArray<std::uint32_t> workspace((bytes + 3) / 4 + 1);
  enqueue(static_cast<void*>(workspace.data()));
  ASSERT_EQ(cudaStreamSynchronize(nullptr), cudaSuccess) << simt::last_fault();
}

class CudaProduct : public ::testing::TestWithParam<std::tuple<DType, Shape>> {
 protected:
  static constexpr float kUntouched = 77;

  CudaProduct()
      : dtype_(std::get<0>(GetParam())),
        shape_(std::get<1>(GetParam())),
        stride_(shape_.out + 3),
        x_(random_normal(shape_.rows * shape_.in, 1)),
        residual_(random_normal(shape_.rows * shape_.out, 2)) {}

  MatrixView<const float> x() { return {x_.data(), shape_.rows, shape_.in, shape_.in}; }
  MatrixView<const float> residual() { return {residual_.data(), shape_.rows, shape_.out, shape_.out}; }

  /// run(y, tile) for every tile: the first's output, after a comparison with the others'.
  template <typename Run>
  void expect_the_same_bits(const Run& run) {
    std::vector<float> first;
    for (const TileKind tile : kTiles) {
      DeviceArray<float> y(std::vector<float>(shape_.rows * stride_, kUntouched));
      run(MatrixView<float>{y.data(), shape_.rows, shape_.out, stride_}, tile);
      if (first.empty()) first = y.values();
      EXPECT_EQ(y.values(), first) << "tile " << static_cast<int>(tile);
    }
    for (std::size_t i = 0; i < first.size(); ++i)
      ASSERT_EQ(first[i] == kUntouched, i % stride_ >= shape_.out) << i / stride_ << ", " << i % stride_;
  }

  DType dtype_;
  Shape shape_;
  std::size_t stride_;  // of y
  DeviceArray<float> x_, residual_;
};

TEST_P(CudaProduct, OfALinearLayerDoesNotDependOnTheTile) {
  const DeviceWeights weight(shape_.out, shape_.in, dtype_, random_normal(shape_.out * shape_.in, 3));
  DeviceArray<float> bias(random_normal(shape_.out, 4));
  expect_the_same_bits([&](MatrixView<float> y, TileKind tile) {
    const LinearArgs args{.x = x(),
                          .bias = {bias.data(), shape_.out},
                          .activation = Activation::gelu_erf,
                          .residual = residual(),
                          .y = y};
    run_with_workspace(cuda::linear_workspace(args, weight.view()),
                       [&](void* workspace) { cuda::linear(args, weight.view(), {tile}, workspace, nullptr); });
  });
}

TEST_P(CudaProduct, OfPerceptronsDoesNotDependOnTheTile) {
  const std::size_t units = shape_.in + 5;
  const auto weights = [&](std::size_t rows, std::size_t columns, unsigned seed) {
    return DeviceWeights(rows, columns, dtype_, random_normal(rows * columns, seed));
  };
  const DeviceWeights gate = weights(units, shape_.in, 3), up = weights(units, shape_.in, 4),
                      down = weights(shape_.out, units, 5);
  DeviceArray<float> bias(random_normal(units, 6));
  for (const bool gated : {false, true})
    expect_the_same_bits([&](MatrixView<float> y, TileKind tile) {
      const cuda::Perceptron work{.x = x(),
                                  .gate = gated ? gate.view() : PackedWeights{},
                                  .gate_bias = {bias.data(), units},
                                  .up = up.view(),
                                  .up_bias = {bias.data(), units},
                                  .down = down.view(),
                                  .down_bias = {},
                                  .activation = gated ? Activation::silu : Activation::gelu_tanh,
                                  .residual = residual(),
                                  .y = y};
      run_with_workspace(cuda::perceptron_workspace(work), [&](void* workspace) {
        cuda::perceptron(work, {{tile}, {tile}}, workspace, nullptr);
      });
    });
}

// One element; less than a piece; a whole tile of each kind; and more, with an end in every direction.
INSTANTIATE_TEST_SUITE_P(OddShapes, CudaProduct,
                         ::testing::Combine(::testing::Values(DType::f32, DType::bf16),
                                            ::testing::Values(Shape{1, 1, 1}, Shape{3, 5, 7}, Shape{17, 33, 65},
                                                              Shape{128, 32, 128}, Shape{130, 75, 133})));

}  // namespace
}  // namespace lexiscope::testing
