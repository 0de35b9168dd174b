// Attention of every engine against the reference: output and statistics within bounds derived below, at odd shapes,
// both element types, all masks and any layout.
#include "kernels/cpu/attention.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "lexiscope/engine.h"
#include "lexiscope/error.h"
#include "tests/support/attention_problem.h"
#include "tests/support/compare.h"
#include "tests/support/engines.h"
#include "tests/support/errors.h"

namespace lexiscope::testing {
namespace {

TensorView out_view(float* data, std::array<std::size_t, 3> shape) { return dense_view<void>(data, DType::f32, shape); }

void make_positive(std::vector<float>& values) {
  for (float& x : values) x = std::abs(x);
}

// What the reference says, and the sums of absolute terms that the bounds are made of: the reference again, on
// absolute values.
struct Expected {
  Attended want;
  std::vector<float> absolute_values;  // sum_j a_ij |v_jc|
  std::vector<float> absolute_scores;  // A_i = max_j |scale| sum_c |q_ic k_jc|

  explicit Expected(const Problem& problem) : want(problem.shape) {
    const auto reference = make_engine("reference");
    want = attend(problem, *reference);
    Problem positive = problem;
    make_positive(positive.value);
    absolute_values = attend(positive, *reference).out;
    make_positive(positive.query);
    make_positive(positive.key);
    positive.scale = std::abs(positive.scale);
    absolute_scores = attend(positive, *reference).maximum;
  }
};

// Whether an engine multiplies this type on tensor cores, as mma.sync does.
bool uses_tensor_cores(const std::string& engine, DType dtype) {
  return engine.starts_with("cuda") && dtype != DType::f32;
}

// Whether an engine has attention in this type.
bool takes(const std::string& engine, DType dtype) { return dtype != DType::f16 || engine.starts_with("cuda"); }

// Bounds, in u = 2^-24. A score is a chain of d fused products, (d + 1) u A with the scale's rounding. The exponent
// rounds once more, at most 2 A + 6 wide (a reference may lie 8 binary orders below the maximum, 5.6 in nats); 2^x is
// good to 4 u. Raised references add their differences' rounding, 2 A u over all, and 5 u each, of which there are at
// most 1 + 2 A / 5.5. So a weight is off by
//   weight = u ((d + 7) A + 15)
// of itself. Sums run over tiles of at most 96 keys and then over the tiles: n additions. Numerator and denominator
// are each off by weight + n u; dividing, and rounding what is wanted, 4 u more. In 16-bit types the weights of the
// numerator are rounded besides; in f16 those below 2^-14 of a reference's, which the sum of all is not below, to
// multiples of 2^-24.
//
// On tensor cores a step of mma adds 8 exact products to a sum and is off by 10 u of their absolute terms
// (docs/numerics.md), so that a chain of n has 5/4 (n + 7) roundings' worth. The exponent is a fused (s - reference) c:
// the factor c is off by 2 u, the product reference c by u A, all of it by u (2 A + 6); references that are raised add
// 2 u of their differences and 5 u each. That makes
//   weight = u ((5/4 (d + 7) + 13) A + 26).
// A lane sums every fourth pair of keys: T / 4 + 3 additions for the denominator and for the entropy's mean.
struct Bounds {
  const Problem& problem;
  const Expected& expected;
  bool tensor_cores = false;

  double keys() const { return static_cast<double>(problem.shape.keys); }
  double depth() const { return static_cast<double>(problem.shape.d); }
  static double mma_additions(double count) { return 5.0 / 4 * (count + 7); }
  double row_additions() const { return tensor_cores ? keys() / 4 + 3 : std::min(keys(), 96.0) + keys() / 96 + 2; }
  double value_additions() const { return tensor_cores ? mma_additions(keys()) : row_additions(); }

  double spread(std::size_t row) const { return std::max(0.0f, expected.absolute_scores[row]); }
  double weight(std::size_t row) const {
    return kUnitF32 *
           (tensor_cores ? (mma_additions(depth()) + 13) * spread(row) + 26 : (depth() + 7) * spread(row) + 15);
  }
  double sum(std::size_t row) const { return weight(row) + row_additions() * kUnitF32; }

  double out(std::size_t row, std::size_t c) const {
    const double rounding = problem.dtype == DType::bf16 ? kUnitBf16 : problem.dtype == DType::f16 ? kUnitF16 : 0;
    const double values = weight(row) + value_additions() * kUnitF32;
    return (rounding + values + sum(row) + 4 * kUnitF32) * expected.absolute_values[row * problem.shape.d + c] +
           (problem.dtype == DType::f16 ? 0x1p-25 * column_sum(row, c) : 0);
  }
  // sum_j |v_jc|
  double column_sum(std::size_t row, std::size_t c) const {
    const auto& [queries, tokens, d, heads, key_heads] = problem.shape;
    const std::size_t group = row / queries / (heads / key_heads);
    double total = 0;
    for (std::size_t j = 0; j < tokens; ++j) total += std::abs(problem.value[(group * tokens + j) * d + c]);
    return total;
  }
  double log_sum_exp(std::size_t row) const {
    return sum(row) + 2 * kUnitF32 * std::abs(expected.want.log_sum_exp[row]);
  }
  double maximum(std::size_t row) const {
    return kUnitF32 * (tensor_cores ? mma_additions(depth()) + 2 : depth() + 3) * spread(row);
  }
  // entropy = log(sum) - mean x: the mean's weights are off by 2 sum, its x, at most X wide on average, by weight.
  double entropy(std::size_t row) const {
    const Attended& want = expected.want;
    const double width = want.maximum[row] + want.entropy[row] - want.log_sum_exp[row] + 6;
    return 2 * sum(row) * (1 + width) + weight(row) + sum(row) + 2 * kUnitF32 * (want.entropy[row] + 1);
  }
};

// 0 where the position is one of a largest score, as far as the scores' bound tells; the share of it otherwise.
double argmax_share(const Problem& problem, const Bounds& bounds, const Attended& got, std::size_t row) {
  const Attended& want = bounds.expected.want;
  if (got.argmax[row] == want.argmax[row]) return 0;
  const auto key = static_cast<std::size_t>(got.argmax[row]);
  if (want.argmax[row] < 0 || key >= problem.shape.keys || !problem.is_visible(row % problem.shape.queries, key))
    return kInfinity;
  return error_share(score(problem, row, key), want.maximum[row], 3 * bounds.maximum(row));
}

// The largest error as a share of its bound, over the output and every statistic.
double worst_share(const Problem& problem, const Expected& expected, const Attended& got,
                   const std::string& engine = "cpu") {
  const Bounds bounds{problem, expected, uses_tensor_cores(engine, problem.dtype)};
  const Attended& want = expected.want;
  const std::size_t d = problem.shape.d;
  double worst = 0;
  for (std::size_t row = 0; row < want.maximum.size(); ++row) {
    for (std::size_t c = 0; c < d; ++c)
      worst = std::max(worst, error_share(got.out[row * d + c], want.out[row * d + c], bounds.out(row, c)));
    worst = std::max({worst, error_share(got.log_sum_exp[row], want.log_sum_exp[row], bounds.log_sum_exp(row)),
                      error_share(got.maximum[row], want.maximum[row], bounds.maximum(row)),
                      error_share(got.entropy[row], want.entropy[row], bounds.entropy(row)),
                      argmax_share(problem, bounds, got, row)});
  }
  return worst;
}

using Case = std::tuple<Shape, DType, Masks>;

// The reference is slow, and every engine is compared with the same of its results.
const Expected& expected_of(const Case& key, const Problem& problem) {
  static std::map<Case, Expected> computed;
  return computed.try_emplace(key, problem).first->second;
}

class Attention : public ::testing::TestWithParam<std::tuple<std::string, Shape, DType, Masks>> {};

TEST_P(Attention, AgreesWithTheReference) {
  const auto& [engine, shape, dtype, masks] = GetParam();
  if (shape.d > 256 && uses_tensor_cores(engine, dtype)) GTEST_SKIP() << "head sizes up to 256 there";
  const Problem problem(shape, dtype, masks.first, masks.second);
  const Expected& expected = expected_of({shape, dtype, masks}, problem);
  EXPECT_LE(worst_share(problem, expected, attend(problem, *make_test_engine(engine, 1)), engine), 1.0);
}

std::vector<Shape> token_shapes() {
  std::vector<Shape> shapes{{1, 129, 17}, {129, 1, 17}, {33, 97, 17}, {97, 33, 17}, {65, 193, 64}, {500, 500, 17}};
  for (const std::size_t tokens : {1, 2, 3, 17, 31, 33, 63, 65, 127, 129})
    for (const std::size_t d : {1, 16}) shapes.push_back({tokens, tokens, d});
  return shapes;
}

std::vector<Shape> head_shapes() {
  std::vector<Shape> shapes{{33, 35, 20, 1, 1}, {33, 35, 20, 6, 2}, {33, 35, 20, 6, 6}};
  for (const std::size_t d : {1, 2, 3, 5, 16, 31, 32, 33, 48, 63, 64, 65, 80, 96, 127, 128, 129, 192, 255, 256, 257})
    shapes.push_back({31, 99, d});
  return shapes;
}

const auto kEngines = ::testing::ValuesIn(fast_engines());
const auto kEmulatedEngines = ::testing::ValuesIn(emulated_engines());
const auto kTypes = ::testing::Values(DType::f32, DType::bf16);

INSTANTIATE_TEST_SUITE_P(Tokens, Attention,
                         ::testing::Combine(kEngines, ::testing::ValuesIn(token_shapes()), kTypes,
                                            ::testing::Values(Masks(AttentionMask::none, Padding::none),
                                                              Masks(AttentionMask::causal, Padding::none),
                                                              Masks(AttentionMask::none, Padding::tail),
                                                              Masks(AttentionMask::causal, Padding::scattered),
                                                              Masks(AttentionMask::none, Padding::all))),
                         EngineNames());
INSTANTIATE_TEST_SUITE_P(Heads, Attention,
                         ::testing::Combine(kEngines, ::testing::ValuesIn(head_shapes()), kTypes,
                                            ::testing::Values(Masks(AttentionMask::none, Padding::none),
                                                              Masks(AttentionMask::causal, Padding::scattered))),
                         EngineNames());
INSTANTIATE_TEST_SUITE_P(Emulated, Attention,
                         ::testing::Combine(kEmulatedEngines,
                                            ::testing::Values(Shape{1, 1, 1}, Shape{1, 129, 17}, Shape{97, 33, 16},
                                                              Shape{65, 131, 64}, Shape{33, 35, 20, 6, 2},
                                                              Shape{130, 130, 16, 1, 1}),
                                            kTypes,
                                            ::testing::Values(Masks(AttentionMask::none, Padding::none),
                                                              Masks(AttentionMask::causal, Padding::scattered),
                                                              Masks(AttentionMask::none, Padding::tail))),
                         EngineNames());
INSTANTIATE_TEST_SUITE_P(EmulatedHeads, Attention,
                         ::testing::Combine(kEmulatedEngines,
                                            ::testing::Values(Shape{5, 67, 3}, Shape{5, 67, 31}, Shape{5, 67, 80},
                                                              Shape{5, 67, 96}, Shape{5, 67, 128}, Shape{5, 67, 129},
                                                              Shape{5, 67, 192}, Shape{5, 67, 256}),
                                            kTypes, ::testing::Values(Masks(AttentionMask::causal, Padding::none))),
                         EngineNames());

class AttentionOn : public ::testing::TestWithParam<std::string> {
 protected:
  void expect_agreement(const Problem& problem) {
    const Expected expected(problem);
    EXPECT_LE(worst_share(problem, expected, attend(problem, *make_test_engine(GetParam(), 1)), GetParam()), 1.0)
        << problem.shape;
  }
};
INSTANTIATE_TEST_SUITE_P(Engines, AttentionOn, ::testing::ValuesIn(engines_under_test()), EngineNames());

TEST_P(AttentionOn, HoldsWhereTheMaximumKeepsGrowing) {
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const float steepness :
         {0.01f, 0.1f, 1.0f}) {  // of the scores: growth a tile below, about and above the slack
      Problem problem({65, 400, 16}, dtype);
      for (std::size_t j = 0; j < 400; ++j)
        for (std::size_t c = 0; c < 16; ++c)
          problem.key[j * 16 + c] += c == 0 ? steepness * (static_cast<float>(j) - 200) : 0.0f;
      for (std::size_t i = 0; i < 2 * 65; ++i) problem.query[i * 16] = static_cast<float>(i % 5);
      problem.round_to_type();
      expect_agreement(problem);
    }
}

// Scores from 0 down to -250 in steps of 1/2: weights to below f32's smallest, which take no part in any sum.
TEST_P(AttentionOn, TakesWeightsTooFaintToCount) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    Problem problem({33, 500, 2}, dtype);
    problem.scale = 1;
    for (std::size_t i = 0; i < problem.query.size(); ++i) problem.query[i] = i % 2 == 0 ? 1.0f : 0.0f;
    for (std::size_t j = 0; j < problem.key.size() / 2; ++j)
      problem.key[2 * j] = -0.5f * static_cast<float>(j * 7 % 500);
    problem.round_to_type();
    expect_agreement(problem);
  }
}

TEST_P(AttentionOn, TakesScalesOfEitherSignAndZero) {
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const float scale : {-0.3f, 0.0f, 3.0f}) {
      Problem problem({33, 99, 7}, dtype, AttentionMask::causal, Padding::scattered);
      problem.scale = scale;
      expect_agreement(problem);
    }
}

TEST_P(AttentionOn, GivesTheFirstOfEqualMaxima) {
  Problem problem({3, 300, 5}, DType::f32);
  for (std::size_t at = 0; at < problem.key.size(); ++at) problem.key[at] = problem.key[at % 5];
  const Attended got = attend(problem, *make_test_engine(GetParam(), 1));
  EXPECT_EQ(got.argmax, std::vector<std::int32_t>(6, 0));
  for (const float entropy : got.entropy) EXPECT_NEAR(entropy, std::log(300.0), 100 * kUnitF32 * std::log(300.0));
}

TEST_P(AttentionOn, CopiesTheValueOfTheOnlyKey) {
  const Problem problem({1, 1, 3, 1, 1}, DType::f32);
  const Attended got = attend(problem, *make_test_engine(GetParam(), 1));
  for (std::size_t c = 0; c < 3; ++c) EXPECT_NEAR(got.out[c], problem.value[c], 8 * kUnitF32 * std::abs(got.out[c]));
  EXPECT_NEAR(got.entropy[0], 0, 8 * kUnitF32);
  EXPECT_EQ(got.argmax[0], 0);
}

class EveryEngine : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Engines, EveryEngine, ::testing::ValuesIn(test_engines()), EngineNames());

TEST_P(EveryEngine, DefinesRowsThatSeeNoKey) {
  const auto engine = make_test_engine(GetParam(), 1);
  for (const Shape& shape : {Shape{3, 0, 2}, Shape{70, 1, 2}}) {  // no key at all, or for the last query only
    const Attended got = attend(Problem(shape, DType::f32, AttentionMask::causal), *engine);
    EXPECT_EQ(got.out[0], 0);
    EXPECT_EQ(got.out[1], 0);
    EXPECT_EQ(got.log_sum_exp[0], -kInfinity);
    EXPECT_EQ(got.maximum[0], -kInfinity);
    EXPECT_EQ(got.entropy[0], 0);
    EXPECT_EQ(got.argmax[0], -1);
  }
}

TEST_P(EveryEngine, DoesNothingWithoutQueries) {
  const Attended got = attend(Problem({0, 5, 2}, DType::f32), *make_test_engine(GetParam(), 1));
  EXPECT_TRUE(got.out.empty());
}

// One buffer of [T, query heads + key heads + value heads][d] in, one of [T, query heads][d] out, its rows wider than
// that, wider statistics; each statistic alone gives what all together do.
TEST_P(EveryEngine, TakesInterleavedLayoutsAndSingleStatistics) {
  const Shape shape{67, 67, 5, 4, 2};
  const std::size_t width = (4 + 2 + 2) * 5 + 1, out_stride = 4 * 5 + 3,
                    wide = 70;  // an odd width: bf16 rows off their words
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const auto engine = make_test_engine(GetParam(), 1);
    const Problem problem(shape, dtype, AttentionMask::causal);
    const Attended dense = attend(problem, *engine);
    std::vector<float> wide_floats(67 * width);
    std::vector<std::uint16_t> halves(67 * width);
    const auto interleave = [&](const std::vector<float>& from, std::size_t heads, std::size_t first) {
      for (std::size_t h = 0; h < heads; ++h)
        for (std::size_t t = 0; t < 67; ++t)
          for (std::size_t c = 0; c < 5; ++c) {
            const std::size_t at = t * width + (first + h) * 5 + c;
            wide_floats[at] = from[(h * 67 + t) * 5 + c];
            halves[at] = to_bf16(wide_floats[at]);
          }
      const std::size_t offset = first * 5;
      const void* data = dtype == DType::f32 ? static_cast<const void*>(wide_floats.data() + offset)
                                             : static_cast<const void*>(halves.data() + offset);
      return ConstTensorView{
          .data = data, .dtype = dtype, .rank = 3, .shape = {heads, 67, 5}, .strides = {5, width, 1}};
    };
    AttentionArgs args{.query = interleave(problem.query, 4, 0),
                       .key = interleave(problem.key, 2, 4),
                       .value = interleave(problem.value, 2, 6),
                       .scale = problem.scale,
                       .mask = problem.mask};
    std::vector<float> out(67 * out_stride), statistic(4 * wide);
    std::vector<std::int32_t> argmax(4 * wide);
    args.out = {.data = out.data(), .rank = 3, .shape = {4, 67, 5}, .strides = {5, out_stride, 1}};
    const auto expect_rows = [&](const auto& got, const auto& want, std::size_t rows, std::size_t columns,
                                 std::size_t stride) {
      for (std::size_t row = 0; row < rows; ++row)
        for (std::size_t c = 0; c < stride; ++c)
          EXPECT_EQ(got[row * stride + c], c < columns ? want[row * columns + c] : 0);
    };
    args.statistics = {.log_sum_exp = {statistic.data(), 4, 67, wide}};
    engine->attention(args);
    std::vector<float> merged(67 * 20);
    for (std::size_t at = 0; at < merged.size(); ++at)
      merged[at] = dense.out[(at % 20 / 5 * 67 + at / 20) * 5 + at % 5];
    expect_rows(out, merged, 67, 20, out_stride);
    expect_rows(statistic, dense.log_sum_exp, 4, 67, wide);
    args.statistics = {.entropy = {statistic.data(), 4, 67, wide}};
    engine->attention(args);
    expect_rows(statistic, dense.entropy, 4, 67, wide);
    args.statistics = {.maximum = {statistic.data(), 4, 67, wide}};
    engine->attention(args);
    expect_rows(statistic, dense.maximum, 4, 67, wide);
    args.statistics = {.argmax = {argmax.data(), 4, 67, wide}};
    engine->attention(args);
    expect_rows(argmax, dense.argmax, 4, 67, wide);
  }
}

TEST_P(AttentionOn, GivesTheSameBitsOnAnyNumberOfThreads) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const Problem problem({200, 333, 24, 3, 3}, dtype, AttentionMask::causal);
    const Attended one = attend(problem, *make_test_engine(GetParam(), 1));
    EXPECT_EQ(attend(problem, *make_test_engine(GetParam(), 2)), one);
    EXPECT_EQ(attend(problem, *make_test_engine(GetParam(), 3)), one);
  }
}

// Unfused attention with the same products: f32 scores and softmax, weights rounded to the problem's type, f32 sums.
std::vector<float> unfused(const Problem& problem) {
  const auto rounded = [&](float x) {
    return problem.dtype == DType::f16 ? from_f16(to_f16(x)) : from_bf16(to_bf16(x));
  };
  const auto [queries, keys, d, heads, key_heads] = problem.shape;
  std::vector<float> out(heads * queries * d), weights(keys);
  for (std::size_t row = 0; row < heads * queries; ++row) {
    const std::size_t group = row / queries / (heads / key_heads);
    float maximum = -kInfinity, sum = 0;
    for (std::size_t j = 0; j < keys; ++j) {
      const float *q = problem.query.data() + row * d, *k = problem.key.data() + (group * keys + j) * d;
      weights[j] =
          problem.is_visible(row % queries, j) ? std::inner_product(q, q + d, k, 0.0f) * problem.scale : -kInfinity;
      maximum = std::max(maximum, weights[j]);
    }
    for (float& weight : weights) sum += weight = std::exp(weight - maximum);
    for (std::size_t j = 0; j < keys; ++j)
      for (std::size_t c = 0; c < d; ++c)
        out[row * d + c] += rounded(weights[j] / sum) * problem.value[(group * keys + j) * d + c];
  }
  return out;
}

double worst_error(const std::vector<float>& got, const std::vector<float>& want) {
  double worst = 0;
  for (std::size_t at = 0; at < got.size(); ++at) worst = std::max(worst, std::abs(double{got[at]} - want[at]));
  return worst;
}

TEST_P(AttentionOn, ErrsAtMostTwiceAsMuchAsUnfusedInItsType) {
  for (const DType dtype : {DType::bf16, DType::f16})
    for (const AttentionMask mask : {AttentionMask::none, AttentionMask::causal}) {
      if (!takes(GetParam(), dtype)) continue;
      const Problem problem({129, 500, 64}, dtype, mask);
      const auto want = attend(problem, *make_engine("reference")).out;
      const auto got = attend(problem, *make_test_engine(GetParam(), 1)).out;
      EXPECT_LE(worst_error(got, want), 2 * worst_error(unfused(problem), want)) << name_of(dtype);
    }
}

// f16 weights far below the row's largest are subnormal or 0.
TEST_P(AttentionOn, TakesF16OrSaysThatItDoesNot) {
  if (!takes(GetParam(), DType::f16)) {
    EXPECT_THROW(attend(Problem({1, 1, 1}, DType::f16), *make_test_engine(GetParam(), 1)), Error);
    return;
  }
  for (const Shape& shape : {Shape{1, 1, 1}, Shape{65, 131, 64}, Shape{33, 35, 20, 6, 2}, Shape{5, 67, 129}})
    for (const auto& [mask, padding] :
         {Masks(AttentionMask::none, Padding::none), Masks(AttentionMask::causal, Padding::scattered)}) {
      Problem problem(shape, DType::f16, mask, padding);
      expect_agreement(problem);
      problem.scale *= 8;
      expect_agreement(problem);
    }
}

TEST(AttentionComparison, SeesPlantedFaults) {
  const Problem problem({65, 129, 17}, DType::f32, AttentionMask::causal);
  const Expected expected(problem);
  const Attended right = attend(problem, *make_engine("cpu"));
  ASSERT_LE(worst_share(problem, expected, right), 1.0);
  Attended wrong = right;
  wrong.out[64 * 17 + 3] += 1e-3f * expected.absolute_values[64 * 17 + 3];
  EXPECT_GT(worst_share(problem, expected, wrong), 1.0);
  for (auto* statistic : {&wrong.log_sum_exp, &wrong.entropy, &wrong.maximum}) {
    wrong = right;
    (*statistic)[40] += 1e-3f;
    EXPECT_GT(worst_share(problem, expected, wrong), 1.0);
  }
  wrong = right;
  wrong.argmax[129] = wrong.argmax[129] == 0 ? 1 : 0;
  EXPECT_GT(worst_share(problem, expected, wrong), 1.0);
  Problem one_key_less = problem;
  one_key_less.padding.assign(129, 1);
  one_key_less.padding[17] = 0;
  EXPECT_GT(worst_share(problem, expected, attend(one_key_less, *make_engine("cpu"))), 1.0);
}

// Small integers and halves are exact in every type, so all types must give the same bits.
TEST(AttentionReference, TakesF16AndF64) {
  const std::vector<float> f32{1, -2, 0.5f, 3, 0, -1.5f, 2, 4};
  const std::vector<double> f64(f32.begin(), f32.end());
  const std::vector<std::uint16_t> f16{0x3C00, 0xC000, 0x3800, 0x4200, 0x0000, 0xBE00, 0x4000, 0x4400};
  const auto engine = make_engine("reference");
  const auto output_of = [&](const void* data, DType dtype) {
    const std::size_t extents[] = {1, 4, 2};
    const auto view = dense_view(data, dtype, extents);
    std::vector<float> out(8);
    engine->attention(
        {.query = view, .key = view, .value = view, .out = out_view(out.data(), {1, 4, 2}), .scale = 0.7f});
    return out;
  };
  EXPECT_EQ(output_of(f64.data(), DType::f64), output_of(f32.data(), DType::f32));
  EXPECT_EQ(output_of(f16.data(), DType::f16), output_of(f32.data(), DType::f32));
}

// By hand: scores 0 and log 3, so weights 1/4 and 3/4.
TEST(AttentionReference, IsTheFormula) {
  const float query[] = {1}, key[] = {0, std::log(3.0f)}, value[] = {8, 4};
  float out, log_sum_exp, entropy;
  const std::size_t one[] = {1, 1, 1}, two[] = {1, 2, 1};
  make_engine("reference")
      ->attention({.query = dense_view<const void>(query, DType::f32, one),
                   .key = dense_view<const void>(key, DType::f32, two),
                   .value = dense_view<const void>(value, DType::f32, two),
                   .out = out_view(&out, {1, 1, 1}),
                   .scale = 1,
                   .statistics = {.log_sum_exp = {&log_sum_exp, 1, 1, 1}, .entropy = {&entropy, 1, 1, 1}}});
  EXPECT_NEAR(out, 5, 1e-6);
  EXPECT_NEAR(log_sum_exp, std::log(4.0), 1e-6);
  EXPECT_NEAR(entropy, std::log(4.0) - 0.75 * std::log(3.0), 1e-6);
}

TEST(AttentionMemory, GrowsNoFasterThanTheTokens) {
  const auto workspace = [](DType dtype, std::size_t tokens) {
    const std::size_t extents[] = {2, tokens, 64};
    const auto view = dense_view<const void>(nullptr, dtype, extents);
    return cpu::attention_workspace({.query = view, .key = view, .value = view}, 2);
  };
  EXPECT_EQ(workspace(DType::f32, 1 << 20), workspace(DType::f32, 1));
  EXPECT_LE(workspace(DType::bf16, 1 << 20) - workspace(DType::bf16, 1 << 19), (2u * 2 * 64 << 19) * 2);
}

struct Invalid {
  const char* message;
  void (*spoil)(AttentionArgs&);
};

class AttentionArguments : public ::testing::TestWithParam<Invalid> {};

TEST_P(AttentionArguments, NameTheValueThatIsWrong) {
  // With room behind the output: what is moved into it to overlap must not reach another array.
  std::vector<float> query(4 * 3 * 2), key(2 * 5 * 2), value(2 * 5 * 2), out(2 * 4 * 3 * 2);
  const std::size_t queries[] = {4, 3, 2}, keys[] = {2, 5, 2};
  AttentionArgs args{.query = dense_view<const void>(query.data(), DType::f32, queries),
                     .key = dense_view<const void>(key.data(), DType::f32, keys),
                     .value = dense_view<const void>(value.data(), DType::f32, keys),
                     .out = out_view(out.data(), {4, 3, 2}),
                     .scale = 1};
  GetParam().spoil(args);
  EXPECT_EQ(message_of([&] { make_engine("cpu")->attention(args); }), GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    Each, AttentionArguments,
    ::testing::Values(
        Invalid{"attention: query has rank 2, needs 3 (heads, tokens, head size)",
                [](AttentionArgs& args) { args.query.rank = 2; }},
        Invalid{"attention: key's last dimension has stride 3, needs to be dense",
                [](AttentionArgs& args) { args.key.strides[2] = 3; }},
        Invalid{"attention: key is [2, 5, 2] with no memory", [](AttentionArgs& args) { args.key.data = nullptr; }},
        Invalid{"attention: query is f32, key f32, value bf16, need to be the same",
                [](AttentionArgs& args) { args.value.dtype = DType::bf16; }},
        Invalid{"attention: the head size is 0, needs to be at least 1",
                [](AttentionArgs& args) { args.query.shape[2] = 0; }},
        Invalid{"attention: key has head size 1, query 2", [](AttentionArgs& args) { args.key.shape[2] = 1; }},
        Invalid{"attention: value is [2, 4, 2], key is [2, 5, 2]",
                [](AttentionArgs& args) { args.value.shape[1] = 4; }},
        Invalid{"attention: query has 3 heads, needs a multiple of key's 2",
                [](AttentionArgs& args) { args.query.shape[0] = 3; }},
        Invalid{"attention: out has rank 2, needs 3 (heads, tokens, head size)",
                [](AttentionArgs& args) { args.out.rank = 2; }},
        Invalid{"attention: out is bf16, needs to be f32", [](AttentionArgs& args) { args.out.dtype = DType::bf16; }},
        Invalid{"attention: out is [4, 3, 1], needs the query's [4, 3, 2]",
                [](AttentionArgs& args) { args.out.shape[2] = 1; }},
        Invalid{"attention: out's last dimension has stride 2, needs to be dense",
                [](AttentionArgs& args) { args.out.strides[2] = 2; }},
        Invalid{"attention: out is [4, 3, 2] with no memory", [](AttentionArgs& args) { args.out.data = nullptr; }},
        Invalid{"attention: out's rows have a stride of 1, need 2",
                [](AttentionArgs& args) { args.out.strides[1] = 1; }},
        Invalid{"attention: out's heads 0 and 1 overlap in memory",
                [](AttentionArgs& args) { args.out.strides[0] = 5; }},
        Invalid{"attention: key_padding has 1 elements, needs 5",
                [](AttentionArgs& args) {
                  static const std::uint8_t padding[] = {1};
                  args.key_padding = {padding, 1};
                }},
        Invalid{"attention: entropy is [12, 1], needs [4, 3]",
                [](AttentionArgs& args) {
                  args.statistics.entropy = {static_cast<float*>(args.out.data), 12, 1, 1};
                }},
        Invalid{"attention: scale is nan, needs to be finite", [](AttentionArgs& args) { args.scale = NAN; }},
        Invalid{"attention: out's head 3 overlaps value's head 0 in memory",
                [](AttentionArgs& args) { args.value.data = static_cast<float*>(args.out.data) + 20; }},
        Invalid{"attention: out's head 0 overlaps key's head 1 in memory", [](AttentionArgs& args) {
                  args.key.data = args.out.data;
                  args.out.data = static_cast<float*>(args.out.data) + 15;
                }}));

TEST(AttentionTypes, NameATypeWithoutAKernel) {
  const std::vector<std::uint16_t> f16(6);
  std::vector<float> out(6);
  const std::size_t extents[] = {1, 3, 2};
  const auto view = dense_view<const void>(f16.data(), DType::f16, extents);
  try {
    make_engine("cpu")->attention({.query = view, .key = view, .value = view, .out = out_view(out.data(), {1, 3, 2})});
    FAIL() << "accepted f16";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_STREQ(error.what(), "attention: the cpu engine takes f32 and bf16, not f16");
  }
}

}  // namespace
}  // namespace lexiscope::testing
