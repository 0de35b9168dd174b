// The position of each row's largest score, where scores are exact: the first of equal ones, in every type, by the
// second pass in bf16 and f16 and by the only one in f32.
#include <gtest/gtest.h>

#include <cmath>
#include <tuple>
#include <vector>

#include "kernels/cuda/attention_argmax.h"
#include "kernels/cuda/attention_f32.h"
#include "tests/support/device_heads.h"

namespace lexiscope::testing {
namespace {

using test::DeviceVector;

struct Shape {
  std::size_t queries, keys, d;
  std::size_t gap = 0;  // between rows: with one of an odd size they begin anywhere
};

class CudaAttentionArgmax : public ::testing::TestWithParam<std::tuple<DType, Shape, AttentionMask, float>> {};

TEST_P(CudaAttentionArgmax, IsTheFirstOfTheLargestScores) {
  const auto [dtype, shape, mask, scale] = GetParam();
  const std::size_t heads = 2, queries = shape.queries, keys = shape.keys, d = shape.d;
  const auto query = small_integers(heads * queries * d, 1), key = small_integers(keys * d, 2);
  std::vector<std::uint8_t> seen(keys, 1);
  for (std::size_t j = 0; j < keys; j += 3) seen[j] = mask == AttentionMask::causal;

  const DeviceHeads q(query, heads, queries, d, dtype, shape.gap), k(key, 1, keys, d, dtype, shape.gap);
  DeviceVector<std::uint8_t> padding(seen);
  DeviceVector<float> out(heads * queries * d), maximum(heads * queries);
  DeviceVector<std::int32_t> argmax(heads * queries);
  const std::size_t extents[] = {heads, queries, d};
  const AttentionArgs args{.query = q.view(),
                           .key = k.view(),
                           .value = k.view(),
                           .out = dense_view<void>(out.data(), DType::f32, extents),
                           .scale = scale,
                           .mask = mask,
                           .key_padding = {padding.data(), keys},
                           .statistics = {.maximum = {maximum.data(), heads, queries, queries},
                                          .argmax = {argmax.data(), heads, queries, queries}}};
  if (dtype == DType::f32)
    cuda::attention_f32(args, cuda::choose_attention_f32_config(args), nullptr);
  else
    cuda::attention_argmax(args, cuda::choose_attention_argmax_config(args), nullptr);
  synchronize();

  for (std::size_t row = 0; row < heads * queries; ++row) {
    float best = -INFINITY;
    std::int32_t at = -1;
    for (std::size_t j = 0; j < keys; ++j) {
      if (!seen[j] || (mask == AttentionMask::causal && j + queries > row % queries + keys)) continue;
      float score = 0;
      for (std::size_t c = 0; c < d; ++c) score += query[row * d + c] * key[j * d + c];
      if (score * scale > best) best = score * scale, at = static_cast<std::int32_t>(j);
    }
    EXPECT_EQ(argmax[row], at) << row;
    if (dtype == DType::f32) {
      EXPECT_EQ(maximum[row], best) << row;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, CudaAttentionArgmax,
                         ::testing::Combine(::testing::Values(DType::f32, DType::bf16, DType::f16),
                                            ::testing::Values(Shape{1, 1, 1}, Shape{70, 200, 8}, Shape{130, 65, 17, 2},
                                                              Shape{3, 300, 72}, Shape{5, 70, 264}),
                                            ::testing::Values(AttentionMask::none, AttentionMask::causal),
                                            ::testing::Values(0.5f, -0.25f, 0.0f)));

TEST(CudaAttentionF32Config, CutsLargeHeadsAndCopiesAlignedRowsAsynchronously) {
  const auto config_of = [](std::size_t d, std::size_t stride) {
    alignas(16) static float memory[4];
    const ConstTensorView view{.data = memory, .rank = 3, .shape = {1, 9, d}, .strides = {9 * stride, stride, 1}};
    return cuda::choose_attention_f32_config({.query = view, .key = view, .value = view});
  };
  EXPECT_EQ(config_of(64, 64).value_columns, 64u);
  EXPECT_EQ(config_of(64, 64).rows_per_thread, 8u);
  EXPECT_EQ(config_of(68, 68).value_columns, 128u);
  EXPECT_EQ(config_of(132, 132).value_columns, 256u);
  EXPECT_EQ(config_of(132, 132).rows_per_thread, 4u);
  EXPECT_TRUE(config_of(64, 192).aligned);
  EXPECT_FALSE(config_of(64, 193).aligned);
  EXPECT_FALSE(config_of(63, 64).aligned);
}

}  // namespace
}  // namespace lexiscope::testing
