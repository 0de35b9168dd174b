// The head's kernels however the vocabulary is cut, where logits are exact: ranks and identities to the token, in
// several passes where many are wanted.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <tuple>
#include <vector>

#include "kernels/cuda/certainty.h"
#include "tests/support/compare.h"
#include "tests/support/device_heads.h"

namespace lexiscope::testing {
namespace {

using cuda::CertaintyConfig;
using cuda::PackedWeights;
using test::DeviceVector;

struct Case {
  std::size_t rows, d, vocabulary, k;
  CertaintyConfig config;
};

class CudaCertainty : public ::testing::TestWithParam<std::tuple<DType, Case>> {
 protected:
  CudaCertainty()
      : dtype_(std::get<0>(GetParam())),
        c_(std::get<1>(GetParam())),
        x_(small_integers(c_.rows * c_.d, 1)),
        head_(small_integers(c_.vocabulary * c_.d, 2)),
        bias_(small_integers(c_.vocabulary, 3)) {}

  // Multiples of 1/8 that are exact in f32.
  std::vector<float> logits(std::size_t row) const {
    std::vector<float> result(bias_);
    for (std::size_t v = 0; v < c_.vocabulary; ++v)
      for (std::size_t c = 0; c < c_.d; ++c) result[v] += kScale * x_[row * c_.d + c] * head_[v * c_.d + c];
    return result;
  }

  static constexpr float kScale = 0.125f;
  DType dtype_;
  Case c_;
  std::vector<float> x_, head_, bias_;
};

std::vector<float> scaled(std::vector<float> values, float scale) {
  for (float& x : values) x *= scale;
  return values;
}

// Logits are exact. With D = |s - max| + 8 a weight is off by (2 D + 6) u of itself, as certainty_test derives it, and
// a sum by one addition for each eight logits, each tile of 128 and each span, below 100 u here; the log-sum-exp by the
// mean of the weights' errors and these, and by 2 u of itself; a log-probability rounds once more.
TEST_P(CudaCertainty, KnowsEveryTokensPlace) {
  const std::size_t stride = cuda::packed_stride(c_.d, dtype_), x_stride = c_.d + 3;
  const DeviceHeads head(head_, 1, c_.vocabulary, c_.d, dtype_, stride - c_.d);
  const DeviceHeads x(scaled(x_, kScale), 1, c_.rows, c_.d, DType::f32, x_stride - c_.d);
  std::vector<std::int32_t> targets(c_.rows);
  for (std::size_t row = 0; row < c_.rows; ++row)  // none, beyond the vocabulary, its last, ...
    targets[row] =
        static_cast<std::int32_t>((row * 7919 + c_.vocabulary) % (c_.vocabulary + 2)) - (row % 5 == 4 ? 1 << 20 : 0);
  DeviceVector<std::int32_t> target(targets), rank(c_.rows), id(c_.rows * c_.k);
  DeviceVector<float> bias(bias_), log_prob(c_.rows), entropy(c_.rows), top(c_.rows * c_.k);
  const CertaintyArgs args{.x = {static_cast<const float*>(x.view().data), c_.rows, c_.d, x_stride},
                           .bias = {bias.data(), c_.vocabulary},
                           .target = {target.data(), c_.rows},
                           .target_log_prob = {log_prob.data(), c_.rows},
                           .target_rank = {rank.data(), c_.rows},
                           .entropy = {entropy.data(), c_.rows},
                           .top_id = {id.data(), c_.rows, c_.k, c_.k},
                           .top_log_prob = {top.data(), c_.rows, c_.k, c_.k}};
  const PackedWeights weights{head.view().data, dtype_, c_.vocabulary, c_.d, stride};
  DeviceVector<std::uint32_t> workspace(
      std::vector<std::uint32_t>(cuda::certainty_workspace(args, weights, c_.config) / 4, ~0u));
  cuda::certainty(args, weights, c_.config, workspace.data(), nullptr);
  synchronize();

  for (std::size_t row = 0; row < c_.rows; ++row) {
    const std::vector<float> s = logits(row);
    std::vector<std::size_t> order(s.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) { return s[a] > s[b]; });
    double sum = 0, distance = 0, mean = 0;
    for (const float value : s) {
      const double weight = std::exp(double{value} - s[order[0]]);
      sum += weight;
      mean += weight * value;
      distance += weight * (std::abs(double{value} - s[order[0]]) + 8);
    }
    const double log_sum_exp = s[order[0]] + std::log(sum), expected = log_sum_exp - mean / sum;
    const double sum_share = kUnitF32 * (2 * distance / sum + 106 + 3 * std::abs(log_sum_exp));
    const double spread = s[order.front()] - s[order.back()];
    EXPECT_LE(error_share(entropy[row], expected, (2 + spread) * sum_share), 1) << row;
    for (std::size_t n = 0; n < c_.k; ++n) {
      EXPECT_EQ(id[row * c_.k + n], static_cast<int>(order[n])) << row << ", " << n;
      EXPECT_LE(error_share(top[row * c_.k + n], s[order[n]] - log_sum_exp, 2 * sum_share), 1);
    }
    if (targets[row] < 0 || targets[row] >= static_cast<int>(s.size())) {
      EXPECT_TRUE(std::isnan(log_prob[row])) << row;
      EXPECT_EQ(rank[row], 0) << row;
      continue;
    }
    const float own = s[static_cast<std::size_t>(targets[row])];
    EXPECT_LE(error_share(log_prob[row], own - log_sum_exp, 2 * sum_share), 1) << row;
    EXPECT_EQ(rank[row], 1 + std::ranges::count_if(s, [&](float other) { return other > own; })) << row;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Cuts, CudaCertainty,
    ::testing::Combine(::testing::Values(DType::f32, DType::bf16),
                       ::testing::Values(Case{3, 17, 500, 40, {16, 1}}, Case{1, 64, 700, 3, {16, 6}},
                                         Case{65, 33, 140, 140, {64, 1}}, Case{70, 9, 300, 33, {64, 3}},
                                         Case{2, 5, 1, 1, {64, 1}})));

TEST(CudaCertaintyConfig, FillsTheDeviceWithBlocksAndNoMore) {
  cudaDeviceProp device{};
  device.multiProcessorCount = 100;
  EXPECT_EQ(cuda::choose_certainty_config(1, 1'000'000, device).rows_per_tile, 16u);
  EXPECT_EQ(cuda::choose_certainty_config(1, 1'000'000, device).spans, 200u);
  EXPECT_EQ(cuda::choose_certainty_config(640, 1'000'000, device).rows_per_tile, 64u);
  EXPECT_EQ(cuda::choose_certainty_config(640, 1'000'000, device).spans, 20u);
  EXPECT_EQ(cuda::choose_certainty_config(640, 300, device).spans, 3u);
  EXPECT_EQ(cuda::choose_certainty_config(1'000'000, 1'000'000, device).spans, 1u);
}

TEST(CudaCertaintyMemory, DoesNotHoldTheLogits) {
  cudaDeviceProp device{};
  device.multiProcessorCount = 132;
  const auto bytes = [&](std::size_t rows) {
    std::int32_t id = 0;
    float log_prob = 0;
    const PackedWeights head{nullptr, DType::f32, 150'000, 8, 8};
    return cuda::certainty_workspace(
        {.x = {nullptr, rows, 8, 8}, .top_id = {&id, rows, 10, 10}, .top_log_prob = {&log_prob, rows, 10, 10}}, head,
        cuda::choose_certainty_config(rows, 150'000, device));
  };
  EXPECT_LT(bytes(256), 256u * 150'000 * sizeof(float) / 30);
  EXPECT_LT(bytes(100'000), 100'000u * 400u);
}

}  // namespace
}  // namespace lexiscope::testing
