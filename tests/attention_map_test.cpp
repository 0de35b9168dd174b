// Every observable of the attention map on every engine, the reference too, against the dense map in double: within
// bounds derived below, at odd shapes, both element types and all masks.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "lexiscope/engine.h"
#include "tests/support/attention_problem.h"
#include "tests/support/compare.h"
#include "tests/support/engines.h"
#include "tests/support/errors.h"
#include "tests/support/product_bounds.h"

namespace lexiscope::testing {
namespace {

struct Wanted {
  std::size_t cells = 1, top = 3;
  std::size_t first_query = 0, queries = 0, first_key = 0, keys = 0;  // the rectangle
  auto operator<=>(const Wanted&) const = default;
};

Wanted wanted_of(const Shape& shape) {
  const std::size_t least = std::min(shape.queries, shape.keys);
  return {.cells = std::max<std::size_t>(1, least * 2 / 3),
          .top = 5,
          .first_query = shape.queries / 3,
          .queries = shape.queries - shape.queries / 3,
          .first_key = shape.keys / 4,
          .keys = shape.keys - shape.keys / 4 - shape.keys / 8};
}

struct Observed {
  std::vector<float> received, by_distance, pooled_mean, pooled_maximum, top_weight, rectangle;
  std::vector<std::int32_t> top_index;

  Observed(const Shape& shape, const Wanted& wanted)
      : received(shape.heads * shape.keys, NAN),
        by_distance(shape.heads * std::max(shape.queries, shape.keys), NAN),
        pooled_mean(shape.heads * wanted.cells * wanted.cells, NAN),
        pooled_maximum(pooled_mean),
        top_weight(shape.heads * shape.queries * wanted.top, NAN),
        rectangle(shape.heads * wanted.queries * wanted.keys, NAN),
        top_index(top_weight.size(), -2) {}
  bool operator==(const Observed&) const = default;
};

template <typename Element>
TensorView heads_out(std::vector<Element>& values, std::size_t heads, std::size_t rows, std::size_t columns) {
  const std::size_t extents[] = {heads, rows, columns};
  return dense_view<void>(values.data(), dtype_of<Element>(), extents);
}

// The reference's, in f32: what attention_map() is given.
std::vector<float> log_sum_exp_of(const Problem& problem) {
  return attend(problem, *make_engine("reference")).log_sum_exp;
}

AttentionMapArgs map_args(const AttentionArgs& attention, const float* log_sum_exp, const Wanted& wanted,
                          Observed& got) {
  const std::size_t heads = attention.query.shape[0], queries = attention.query.shape[1], keys = attention.key.shape[1],
                    distances = std::max(queries, keys);
  return {.query = attention.query,
          .key = attention.key,
          .scale = attention.scale,
          .mask = attention.mask,
          .key_padding = attention.key_padding,
          .log_sum_exp = {log_sum_exp, heads, queries, queries},
          .received = {got.received.data(), heads, keys, keys},
          .by_distance = {got.by_distance.data(), heads, distances, distances},
          .pooled_mean = heads_out(got.pooled_mean, heads, wanted.cells, wanted.cells),
          .pooled_maximum = heads_out(got.pooled_maximum, heads, wanted.cells, wanted.cells),
          .top_index = heads_out(got.top_index, heads, queries, wanted.top),
          .top_weight = heads_out(got.top_weight, heads, queries, wanted.top),
          .first_query = wanted.first_query,
          .first_key = wanted.first_key,
          .rectangle = heads_out(got.rectangle, heads, wanted.queries, wanted.keys)};
}

Observed observe(const Problem& problem, const std::vector<float>& log_sum_exp, const Wanted& wanted, Engine& engine) {
  Rooms rooms;
  Attended unused(problem.shape);
  Observed got(problem.shape, wanted);
  engine.attention_map(map_args(attention_args(problem, rooms, unused), log_sum_exp.data(), wanted, got));
  return got;
}

// In one call with attention, whose own results do not change by it.
Observed observe_with_attention(const Problem& problem, const Wanted& wanted, Engine& engine) {
  Rooms rooms;
  Attended attended(problem.shape);
  Observed got(problem.shape, wanted);
  const AttentionArgs args = attention_args(problem, rooms, attended);
  engine.attention_with_map(args, map_args(args, attended.log_sum_exp.data(), wanted, got));
  EXPECT_EQ(attended, attend(problem, engine));
  return got;
}

// The dense map in double, a_ij = exp(s_ij - log_sum_exp_i), and how far an engine's weights may be off.
//
// In u = 2^-24: a score is a sum of d products and a scale, r u A with A the largest sum of absolute terms of a score
// and r = d + 2, or what tensor cores make of it; the exponent's two parts and their difference round in units of
// themselves, 4 (A + |lse|) u; 2^x is good to 4 u, and rounding what is wanted adds the rest. So a weight is off by
// u ((r + 4) A + 4 |lse| + 15) of itself; weights below f32's normal range may be lost.
//
// Together with attention the sum of a row's weights is the engine's own: it is off by u ((r + 13) A + 26) as they are,
// and by its additions, over tiles of at most 96 keys and then over the tiles, or over every fourth pair of keys (see
// attention_test.cpp), and where it becomes a log-sum-exp rounds by 2 u |lse| and 2 u. Weights below 2^-100 are lost.
struct DenseMap {
  const Problem& problem;
  std::vector<double> weight, bound;  // [H, T_q, T_k]
  std::vector<double> sum_share;      // [H, T_q] what an engine's own sum adds to a weight's bound, of the weight

  DenseMap(const Problem& problem_, const std::vector<float>& log_sum_exp) : problem(problem_) {
    const Shape& shape = problem.shape;
    weight.assign(shape.heads * shape.queries * shape.keys, 0);
    bound.assign(weight.size(), 0);
    for (std::size_t row = 0; row < log_sum_exp.size(); ++row) {
      double spread = 0;
      for (std::size_t key = 0; key < shape.keys; ++key)
        if (problem.is_visible(row % shape.queries, key)) spread = std::max(spread, absolute_score(row, key));
      const double lse = log_sum_exp[row];
      const double roundings = sum_roundings(shape.d, problem.dtype), keys = static_cast<double>(shape.keys);
      const double share = kUnitF32 * ((roundings + 4) * spread + 4 * std::abs(lse) + 15);
      sum_share.push_back(kUnitF32 *
                          ((roundings + 13) * spread + 2 * std::abs(lse) + 28 + std::min(keys, 96.0) + keys / 4));
      for (std::size_t key = 0; key < shape.keys; ++key) {
        if (!problem.is_visible(row % shape.queries, key)) continue;
        weight[row * shape.keys + key] = std::exp(score(problem, row, key) - lse);
        bound[row * shape.keys + key] = share * weight[row * shape.keys + key] + 0x1p-126;
      }
    }
  }

  DenseMap with_own_sums() const {
    DenseMap map = *this;
    for (std::size_t at = 0; at < weight.size(); ++at)
      if (bound[at] > 0) map.bound[at] += sum_share[at / problem.shape.keys] * weight[at] + 0x1p-100;
    return map;
  }

  double absolute_score(std::size_t row, std::size_t key) const {
    const Shape& shape = problem.shape;
    const std::size_t group = row / shape.queries / (shape.heads / shape.key_heads), d = shape.d;
    const float *q = problem.query.data() + row * d, *k = problem.key.data() + (group * shape.keys + key) * d;
    double sum = 0;
    for (std::size_t c = 0; c < d; ++c) sum += std::abs(static_cast<double>(q[c]) * k[c]);
    return std::abs(static_cast<double>(problem.scale)) * sum;
  }
};

// A sum of weights: of n terms in any order, n + 3 roundings of the sum (the last ones: a division, the result).
struct Sum {
  double value = 0, bound = 0, terms = 0, largest = 0, largest_bound = 0;
  void add(double weight, double weight_bound) {
    value += weight;
    bound += weight_bound;
    ++terms;
    largest = std::max(largest, weight);
    largest_bound = std::max(largest_bound, weight_bound);
  }
  double share(double got) const { return error_share(got, value, bound + (terms + 3) * kUnitF32 * value); }
  double mean_share(double got) const {
    return error_share(got, value / terms, (bound + (terms + 3) * kUnitF32 * value) / terms);
  }
  double largest_share(double got) const { return error_share(got, largest, largest_bound + kUnitF32 * largest); }
};

// Each of the largest weights is within its bound of the weight of that rank in the dense map, since all weights of a
// row may be off by the same share; and its place is one that has this weight, each place once.
double top_share(const DenseMap& map, const Observed& got, std::size_t row, std::size_t top) {
  const std::size_t keys = map.problem.shape.keys;
  std::vector<std::size_t> order;
  for (std::size_t key = 0; key < keys; ++key)
    if (map.problem.is_visible(row % map.problem.shape.queries, key)) order.push_back(key);
  const double *weight = map.weight.data() + row * keys, *bound = map.bound.data() + row * keys;
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return weight[a] > weight[b]; });
  double worst = 0;
  std::set<std::int32_t> places;
  for (std::size_t n = 0; n < top; ++n) {
    const std::int32_t place = got.top_index[row * top + n];
    const double value = got.top_weight[row * top + n];
    if (n >= order.size()) {
      if (place != -1 || value != 0) return kInfinity;
      continue;
    }
    if (place < 0 || static_cast<std::size_t>(place) >= keys || !places.insert(place).second) return kInfinity;
    const std::size_t key = order[n], there = static_cast<std::size_t>(place);
    worst =
        std::max({worst, error_share(value, weight[key], bound[key]), error_share(value, weight[there], bound[there])});
  }
  return worst;
}

double worst_share(const DenseMap& map, const Wanted& wanted, const Observed& got) {
  const Shape& shape = map.problem.shape;
  const std::size_t distances = std::max(shape.queries, shape.keys), cells = wanted.cells;
  double worst = 0;
  for (std::size_t head = 0; head < shape.heads; ++head) {
    std::vector<Sum> received(shape.keys), by_distance(distances), pooled(cells * cells);
    for (std::size_t i = 0; i < shape.queries; ++i)
      for (std::size_t j = 0; j < shape.keys; ++j) {
        const std::size_t at = (head * shape.queries + i) * shape.keys + j;
        const auto distance =
            std::llabs(static_cast<long long>(i + shape.keys) - static_cast<long long>(shape.queries + j));
        received[j].add(map.weight[at], map.bound[at]);
        by_distance[static_cast<std::size_t>(distance)].add(map.weight[at], map.bound[at]);
        pooled[i * cells / shape.queries * cells + j * cells / shape.keys].add(map.weight[at], map.bound[at]);
        const std::size_t row = i - wanted.first_query, column = j - wanted.first_key;
        if (i >= wanted.first_query && row < wanted.queries && j >= wanted.first_key && column < wanted.keys)
          worst = std::max(worst, error_share(got.rectangle[(head * wanted.queries + row) * wanted.keys + column],
                                              map.weight[at], map.bound[at]));
      }
    for (std::size_t j = 0; j < shape.keys; ++j)
      worst = std::max(worst, received[j].share(got.received[head * shape.keys + j]));
    for (std::size_t distance = 0; distance < distances; ++distance)
      worst = std::max(worst, by_distance[distance].share(got.by_distance[head * distances + distance]));
    for (std::size_t cell = 0; cell < cells * cells; ++cell) {
      worst = std::max(worst, pooled[cell].mean_share(got.pooled_mean[head * cells * cells + cell]));
      worst = std::max(worst, pooled[cell].largest_share(got.pooled_maximum[head * cells * cells + cell]));
    }
  }
  for (std::size_t row = 0; row < shape.heads * shape.queries; ++row)
    worst = std::max(worst, top_share(map, got, row, wanted.top));
  return worst;
}

// The dense map is slow: these engines are compared with one of it.
constexpr const char* kFast = "fast";
std::vector<std::string> fast_and_reference() {
  auto engines = fast_engines();
  engines.emplace_back("reference");
  return engines;
}

class AttentionMap : public ::testing::TestWithParam<std::tuple<std::string, Shape, DType, Masks>> {};

TEST_P(AttentionMap, AgreesWithTheDenseMap) {
  const auto& [engines, shape, dtype, masks] = GetParam();
  const Problem problem(shape, dtype, masks.first, masks.second);
  const std::vector<float> log_sum_exp = log_sum_exp_of(problem);
  const DenseMap map(problem, log_sum_exp);
  const Wanted wanted = wanted_of(shape);
  const DenseMap with_own_sums = map.with_own_sums();
  for (const std::string& name : engines == kFast ? fast_and_reference() : std::vector{engines}) {
    const auto engine = make_test_engine(name, 1);
    EXPECT_LE(worst_share(map, wanted, observe(problem, log_sum_exp, wanted, *engine)), 1.0) << name;
    if (engines != kFast || name == "reference") continue;  // they do one after the other
    EXPECT_LE(worst_share(with_own_sums, wanted, observe_with_attention(problem, wanted, *engine)), 1.0) << name;
  }
}

std::vector<Shape> token_shapes() {
  std::vector<Shape> shapes{{1, 129, 17}, {129, 1, 17}, {33, 97, 17}, {97, 33, 17}, {65, 193, 64}, {500, 500, 17}};
  for (const std::size_t tokens : {1, 2, 3, 17, 31, 33, 63, 65, 127, 129}) shapes.push_back({tokens, tokens, 16});
  return shapes;
}

std::vector<Shape> head_shapes() {
  std::vector<Shape> shapes{{33, 35, 20, 1, 1}, {33, 35, 20, 6, 2}, {33, 35, 20, 6, 6}};
  for (const std::size_t d : {1, 3, 24, 31, 32, 33, 64, 65, 80, 96, 128, 129, 192, 256}) shapes.push_back({31, 99, d});
  return shapes;
}

const auto kTypes = ::testing::Values(DType::f32, DType::bf16);

INSTANTIATE_TEST_SUITE_P(Tokens, AttentionMap,
                         ::testing::Combine(::testing::Values(kFast), ::testing::ValuesIn(token_shapes()), kTypes,
                                            ::testing::Values(Masks(AttentionMask::none, Padding::none),
                                                              Masks(AttentionMask::causal, Padding::none),
                                                              Masks(AttentionMask::none, Padding::tail),
                                                              Masks(AttentionMask::causal, Padding::scattered),
                                                              Masks(AttentionMask::none, Padding::all))),
                         EngineNames());
INSTANTIATE_TEST_SUITE_P(Heads, AttentionMap,
                         ::testing::Combine(::testing::Values(kFast), ::testing::ValuesIn(head_shapes()), kTypes,
                                            ::testing::Values(Masks(AttentionMask::none, Padding::none),
                                                              Masks(AttentionMask::causal, Padding::scattered))),
                         EngineNames());
INSTANTIATE_TEST_SUITE_P(Emulated, AttentionMap,
                         ::testing::Combine(::testing::ValuesIn(emulated_engines()),
                                            ::testing::Values(Shape{1, 1, 1}, Shape{1, 129, 17}, Shape{97, 33, 16},
                                                              Shape{65, 131, 64}, Shape{33, 35, 20, 6, 2},
                                                              Shape{5, 67, 96}, Shape{5, 67, 129}, Shape{5, 67, 256}),
                                            kTypes,
                                            ::testing::Values(Masks(AttentionMask::none, Padding::none),
                                                              Masks(AttentionMask::causal, Padding::scattered))),
                         EngineNames());

// More keys than a thread of the cpu engine keeps weights of.
TEST(AttentionWithManyKeys, AgreesWithTheDenseMap) {
  const Wanted wanted{.cells = 3, .top = 7, .first_query = 1, .queries = 1, .first_key = 18'300, .keys = 300};
  for (const Padding padding : {Padding::none, Padding::scattered}) {
    const Problem problem({3, 18'700, 8}, DType::f32, AttentionMask::causal, padding);
    const DenseMap map(problem, log_sum_exp_of(problem));
    EXPECT_LE(worst_share(map.with_own_sums(), wanted, observe_with_attention(problem, wanted, *make_engine("cpu"))),
              1.0);
  }
}

class AttentionMapOn : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Engines, AttentionMapOn, ::testing::ValuesIn(test_engines()), EngineNames());

TEST_P(AttentionMapOn, PoolsIntoOneCellAndIntoOneForEachPair) {
  const Problem problem({37, 41, 16}, DType::f32, AttentionMask::causal);
  const std::vector<float> log_sum_exp = log_sum_exp_of(problem);
  const DenseMap map(problem, log_sum_exp);
  for (const std::size_t cells : {1, 37}) {
    const Wanted wanted{.cells = cells, .top = 41, .queries = 37, .keys = 41};
    EXPECT_LE(worst_share(map, wanted, observe(problem, log_sum_exp, wanted, *make_test_engine(GetParam(), 1))), 1.0);
  }
}

TEST_P(AttentionMapOn, PutsTheSmallerPlaceFirstWhereWeightsAreEqual) {
  Problem problem({3, 70, 5}, DType::f32);
  for (std::size_t at = 0; at < problem.key.size(); ++at) problem.key[at] = problem.key[at % 5];
  const Wanted wanted{.cells = 1, .top = 4};
  const Observed got = observe(problem, log_sum_exp_of(problem), wanted, *make_test_engine(GetParam(), 1));
  for (std::size_t at = 0; at < got.top_index.size(); ++at) EXPECT_EQ(got.top_index[at], static_cast<int>(at % 4));
}

TEST_P(AttentionMapOn, GivesNothingWhereNoKeyIsSeen) {
  const Problem problem({3, 0, 4}, DType::f32);
  const Wanted wanted{.cells = 1, .top = 2};
  const Observed got = observe(problem, std::vector<float>(6, -kInfinity), wanted, *make_test_engine(GetParam(), 1));
  EXPECT_EQ(got.top_index, std::vector<std::int32_t>(12, -1));
  EXPECT_EQ(got.top_weight, std::vector<float>(12, 0));
  EXPECT_EQ(got.by_distance, std::vector<float>(6, 0));
  EXPECT_EQ(got.pooled_mean, std::vector<float>(2, 0));
  EXPECT_EQ(got, observe_with_attention(problem, wanted, *make_test_engine(GetParam(), 1)));
}

TEST(AttentionMapBits, AreTheSameOnAnyNumberOfThreads) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const Problem problem({333, 333, 33, 4, 2}, dtype, AttentionMask::causal);
    const std::vector<float> log_sum_exp = log_sum_exp_of(problem);
    const Wanted wanted = wanted_of(problem.shape);
    const Observed one = observe(problem, log_sum_exp, wanted, *make_engine("cpu", {.threads = 1}));
    const Observed with = observe_with_attention(problem, wanted, *make_engine("cpu", {.threads = 1}));
    for (const int threads : {2, 3}) {
      const auto engine = make_engine("cpu", {.threads = threads});
      EXPECT_EQ(one, observe(problem, log_sum_exp, wanted, *engine)) << threads;
      EXPECT_EQ(with, observe_with_attention(problem, wanted, *engine)) << threads;
    }
  }
}

TEST(AttentionMapComparison, SeesAWrongValue) {
  const Problem problem({33, 35, 16}, DType::f32, AttentionMask::causal);
  const std::vector<float> log_sum_exp = log_sum_exp_of(problem);
  const DenseMap map(problem, log_sum_exp);
  const Wanted wanted = wanted_of(problem.shape);
  const Observed right = observe(problem, log_sum_exp, wanted, *make_engine("cpu"));
  EXPECT_LE(worst_share(map, wanted, right), 1.0);
  for (auto part : {&Observed::received, &Observed::by_distance, &Observed::pooled_mean, &Observed::pooled_maximum,
                    &Observed::top_weight, &Observed::rectangle}) {
    Observed wrong = right;
    (wrong.*part)[0] *= 1.001f;
    EXPECT_GT(worst_share(map, wanted, wrong), 1.0);
  }
  Observed wrong = right;
  wrong.top_index[32 * wanted.top] = wrong.top_index[32 * wanted.top + 1];
  EXPECT_GT(worst_share(map, wanted, wrong), 1.0);
}

// What the checks that all engines share say.
class AttentionMapErrors : public ::testing::Test {
 protected:
  AttentionMapErrors() {
    args_ = {.query = dense_view<const void>(data_.data(), DType::f32, std::array<std::size_t, 3>{2, 4, 3}),
             .key = dense_view<const void>(data_.data(), DType::f32, std::array<std::size_t, 3>{1, 5, 3}),
             .scale = 1,
             .log_sum_exp = {data_.data(), 2, 4, 4}};
  }
  std::string refused() {
    return message_of([&] { make_engine("cpu")->attention_map(args_); });
  }
  TensorView view(std::size_t heads, std::size_t rows, std::size_t columns, DType dtype = DType::f32) {
    return dense_view<void>(room_.data(), dtype, std::array{heads, rows, columns});
  }
  std::vector<float> data_ = std::vector<float>(64), room_ = std::vector<float>(256);
  AttentionMapArgs args_{};
};

TEST_F(AttentionMapErrors, NameTheArgument) {
  args_.log_sum_exp.columns = 3;
  EXPECT_EQ(refused(), "attention_map: log_sum_exp is [2, 3], needs [2, 4]");
  args_.log_sum_exp.columns = 4;
  args_.received = {room_.data(), 2, 4, 4};
  EXPECT_EQ(refused(), "attention_map: received is [2, 4], needs [2, 5]");
  args_.received = {};
  args_.pooled_mean = view(2, 5, 5);
  EXPECT_EQ(refused(), "attention_map: pooled_mean has 5 cells a side, needs at most 4 queries and 5 keys");
  args_.pooled_mean = {};
  args_.top_index = view(2, 4, 2, DType::i32);
  EXPECT_EQ(refused(), "attention_map: top_index is given without top_weight");
  args_.top_index = {};
  args_.rectangle = view(2, 2, 2);
  args_.first_query = 3;
  EXPECT_EQ(refused(), "attention_map: the rectangle has 2 queries from 3 on, the map 4 in all");
}

TEST_F(AttentionMapErrors, SeeAMapOfAnotherAttention) {
  std::vector<float> out(24), statistic(8);
  AttentionArgs attention{.query = args_.query,
                          .key = args_.key,
                          .value = args_.key,
                          .out = dense_view<void>(out.data(), DType::f32, std::array<std::size_t, 3>{2, 4, 3}),
                          .scale = 1,
                          .statistics = {.log_sum_exp = {statistic.data(), 2, 4, 4}}};
  args_.received = {room_.data(), 2, 5, 5};
  const auto refused_with = [&] {
    return message_of([&] { make_engine("cpu")->attention_with_map(attention, args_); });
  };
  EXPECT_EQ(refused_with(), "attention_with_map: the map's log_sum_exp is not the attention's own");
  args_.log_sum_exp = attention.statistics.log_sum_exp;
  attention.scale = 2;
  EXPECT_EQ(refused_with(), "attention_with_map: the map's scale is not the attention's own");
  attention.scale = 1;
  attention.value = dense_view<const void>(room_.data(), DType::f32, std::array<std::size_t, 3>{1, 5, 3});
  EXPECT_NE(refused_with().find("overlaps value"), std::string::npos);
}

TEST_F(AttentionMapErrors, SeeAnOutputThatOverlapsAnInput) {
  args_.received = {data_.data(), 2, 5, 5};
  EXPECT_NE(refused().find("overlaps"), std::string::npos);
}

}  // namespace
}  // namespace lexiscope::testing
