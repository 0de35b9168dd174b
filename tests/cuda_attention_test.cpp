// Every attention kernel by itself, on one problem that all of them take: what they give does not depend on the tile.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cuda/attention.h"
#include "lexiscope/engine.h"
#include "tests/support/attention_problem.h"
#include "tests/support/device_array.h"

namespace lexiscope::testing {
namespace {

using cuda::AttentionVariant;

struct Outputs {
  std::vector<float> out, log_sum_exp, entropy, maximum;
};

struct Sizes {
  explicit Sizes(const Shape& shape) : rows(shape.heads * shape.queries), out(rows * shape.d) {}
  std::size_t rows, out;
};

AttentionStatistics statistics_in(float* data, const Shape& shape) {
  const auto matrix = [&](std::size_t index) {
    return MatrixView<float>{data + index * shape.heads * shape.queries, shape.heads, shape.queries, shape.queries};
  };
  return {.log_sum_exp = matrix(0), .entropy = matrix(1), .maximum = matrix(2)};
}

Outputs split(const std::vector<float>& out, const std::vector<float>& statistics, std::size_t rows) {
  const auto part = [&](std::size_t index) {
    const auto begin = statistics.begin() + static_cast<std::ptrdiff_t>(index * rows);
    return std::vector<float>(begin, begin + static_cast<std::ptrdiff_t>(rows));
  };
  return {out, part(0), part(1), part(2)};
}

AttentionArgs args_of(const Problem& problem, ConstTensorView query, ConstTensorView key, ConstTensorView value) {
  return {.query = query, .key = key, .value = value, .scale = problem.scale, .mask = problem.mask};
}

Outputs by_reference(const Problem& problem) {
  const Shape& shape = problem.shape;
  const Sizes sizes(shape);
  std::vector<std::uint16_t> room[3];
  std::vector<float> out(sizes.out), statistics(3 * sizes.rows);
  AttentionArgs args = args_of(problem, heads_view(problem, problem.query, shape.heads, shape.queries, room[0]),
                               heads_view(problem, problem.key, shape.key_heads, shape.keys, room[1]),
                               heads_view(problem, problem.value, shape.key_heads, shape.keys, room[2]));
  const std::size_t extents[] = {shape.heads, shape.queries, shape.d};
  args.out = dense_view<void>(out.data(), DType::f32, extents);
  args.key_padding = {problem.padding.data(), problem.padding.size()};
  args.statistics = statistics_in(statistics.data(), shape);
  make_engine("reference")->attention(args);
  return split(out, statistics, sizes.rows);
}

Outputs by_kernel(const Problem& problem, const AttentionVariant& variant, bool pack) {
  const Shape& shape = problem.shape;
  const Sizes sizes(shape);
  std::vector<std::uint16_t> room;
  const auto on_device = [&](const std::vector<float>& values, std::size_t heads, std::size_t tokens) {
    heads_view(problem, values, heads, tokens, room);
    return DeviceArray<std::uint16_t>(room);
  };
  const DeviceArray<std::uint16_t> query = on_device(problem.query, shape.heads, shape.queries),
                                   key = on_device(problem.key, shape.key_heads, shape.keys),
                                   value = on_device(problem.value, shape.key_heads, shape.keys);
  const DeviceArray<std::uint8_t> padding(problem.padding);
  const DeviceArray<float> out(sizes.out), statistics(3 * sizes.rows);
  const std::size_t queries[] = {shape.heads, shape.queries, shape.d}, keys[] = {shape.key_heads, shape.keys, shape.d};
  AttentionArgs args = args_of(problem, dense_view<const void>(query.data(), problem.dtype, queries),
                               dense_view<const void>(key.data(), problem.dtype, keys),
                               dense_view<const void>(value.data(), problem.dtype, keys));
  args.out = dense_view<void>(out.data(), DType::f32, queries);
  if (variant.padding) args.key_padding = {padding.data(), problem.padding.size()};
  if (variant.statistics) args.statistics = statistics_in(statistics.data(), shape);
  const cuda::AttentionConfig config{.variant = variant, .pack = pack};
  const DeviceArray<std::byte> workspace(std::max<std::size_t>(attention_workspace(args, config), 1));
  cuda::attention(args, config, workspace.data(), nullptr);
  return split(out.values(), variant.statistics ? statistics.values() : std::vector<float>(3 * sizes.rows), sizes.rows);
}

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  double largest = 0;
  for (std::size_t at = 0; at < a.size(); ++at)
    if (a[at] != b[at]) largest = std::max(largest, std::abs(double{a[at]} - b[at]));  // infinities agree
  return largest;
}

// Scores of 24 normal products times 24^-1/2 stay below 6 in magnitude, sums of absolute terms below 20, and values
// below 2.5: so weights are off by 1,100 u (docs/numerics.md: A = 20, d = 24) and their mean of values by twice that,
// (5/4 + 1/4) T u and one rounding of a weight, 2^-8 or 2^-11, each times 2.5. The entropy is at most 5.3 and errs by
// the weights' error times (1 + its width, 12), twice.
TEST(CudaAttention, IsTheSameInEveryVariant) {
  constexpr double kWeight = 1100 * kUnitF32, kSum = kWeight + 70 * kUnitF32;
  for (const DType dtype : {DType::bf16, DType::f16})
    for (const AttentionMask mask : {AttentionMask::none, AttentionMask::causal}) {
      const Problem whole({130, 200, 24, 1, 1}, dtype, mask),
          padded({130, 200, 24, 1, 1}, dtype, mask, Padding::scattered);
      const Outputs want[] = {by_reference(whole), by_reference(padded)};
      std::vector<float> maximum[2];
      for (const AttentionVariant& variant : cuda::kAttentionVariants)
        for (const bool pack : {false, true}) {
          if (pack && variant.tile.head_dim > 64) continue;  // packing comes before the kernel: two tiles are enough
          SCOPED_TRACE(::testing::Message() << name_of(dtype) << ", head size " << variant.tile.head_dim << ", "
                                            << variant.tile.keys << " keys, " << variant.tile.stages << " stages");
          const Outputs got = by_kernel(variant.padding ? padded : whole, variant, pack);
          const Outputs& right = want[variant.padding];
          const double rounding = dtype == DType::bf16 ? kUnitBf16 : kUnitF16;
          EXPECT_LE(largest_difference(got.out, right.out), 2.5 * (rounding + 2 * kSum + 300 * kUnitF32));
          if (!variant.statistics) continue;
          EXPECT_LE(largest_difference(got.log_sum_exp, right.log_sum_exp), kSum + 12 * kUnitF32);
          EXPECT_LE(largest_difference(got.entropy, right.entropy), 2 * 13 * kSum);
          auto& first = maximum[variant.padding];
          if (first.empty()) first = got.maximum;
          EXPECT_EQ(got.maximum, first);  // the order of a score's products is the same in every tile
        }
    }
}

}  // namespace
}  // namespace lexiscope::testing
