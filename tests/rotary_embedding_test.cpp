// The rotary embedding of every engine against the reference, in both layouts, within a bound derived below.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <tuple>
#include <vector>

#include "lexiscope/engine.h"
#include "tests/support/compare.h"
#include "tests/support/engines.h"
#include "tests/support/errors.h"

namespace lexiscope::testing {
namespace {

using ::testing::HasSubstr;

constexpr RotaryLayout kLayouts[] = {RotaryLayout::halves, RotaryLayout::interleaved};

struct Problem {
  std::size_t rows, heads, head_size, pairs;
  RotaryLayout layout;
  std::vector<float> x, cosine, sine;

  Problem(std::size_t rows_, std::size_t heads_, std::size_t head_size_, std::size_t pairs_, RotaryLayout layout_)
      : rows(rows_), heads(heads_), head_size(head_size_), pairs(pairs_), layout(layout_) {
    const auto seed = static_cast<unsigned>(rows * 1009 + heads * 101 + head_size * 11 + pairs);
    x = random_normal(rows * width(), seed);
    for (const float angle : random_normal(rows * pairs, seed + 1, 0, 100))
      cosine.push_back(std::cos(angle)), sine.push_back(std::sin(angle));
  }

  std::size_t width() const { return heads * head_size; }

  std::vector<float> run(Engine& engine) const {
    auto y = x;
    turn(engine, {y.data(), rows, width(), width()});
    return y;
  }

  void turn(Engine& engine, MatrixView<float> view) const {
    engine.rotary_embedding({.x = view,
                             .heads = heads,
                             .cosine = {cosine.data(), rows, pairs, pairs},
                             .sine = {sine.data(), rows, pairs, pairs},
                             .layout = layout});
  }

  // Two products and their sum, one of them fused or not, err by 2 u (|a cos| + |b sin|), u = 2^-24; the reference's
  // store by u of that, and the fourth unit is for what is of second order. A product below 2^-126 errs by 2^-150.
  // Beyond the pairs a head stays as it is: a bound of 0.
  double bound(std::size_t i) const {
    const std::size_t t = i / width(), at = i % width() % head_size;
    if (at >= 2 * pairs) return 0;
    const bool halves = layout == RotaryLayout::halves, first = halves ? at < pairs : at % 2 == 0;
    const std::size_t pair = t * pairs + (halves ? at % pairs : at / 2), step = halves ? pairs : 1;
    const std::size_t other = first ? i + step : i - step;
    return 4 * kUnitF32 * (std::abs(double(x[i]) * cosine[pair]) + std::abs(double(x[other]) * sine[pair])) + 0x1p-147;
  }
};

double worst_share(const Problem& problem, const std::vector<float>& got, const std::vector<float>& want) {
  double worst = 0;
  for (std::size_t i = 0; i < want.size(); ++i) worst = std::max(worst, error_share(got[i], want[i], problem.bound(i)));
  return worst;
}

class RotaryEmbedding : public ::testing::TestWithParam<std::tuple<std::string, RotaryLayout, std::size_t>> {};

TEST_P(RotaryEmbedding, AgreesWithTheReference) {
  const auto [engine_name, layout, head_size] = GetParam();
  const auto engine = make_test_engine(engine_name), reference = make_engine("reference");
  for (const std::size_t rows : {1, 2, 33})
    for (const std::size_t heads : {1, 3})
      for (const std::size_t pairs : {head_size / 2, head_size / 3, std::size_t{1}, std::size_t{0}}) {
        if (2 * pairs > head_size) continue;
        const Problem problem(rows, heads, head_size, pairs, layout);
        EXPECT_LE(worst_share(problem, problem.run(*engine), problem.run(*reference)), 1.0)
            << "T " << rows << ", heads " << heads << ", pairs " << pairs;
      }
}

INSTANTIATE_TEST_SUITE_P(OddShapes, RotaryEmbedding,
                         ::testing::Combine(::testing::ValuesIn(fast_engines()), ::testing::ValuesIn(kLayouts),
                                            ::testing::Values(1, 2, 3, 17, 31, 33, 63, 64, 65, 127, 129, 500)),
                         EngineNames());
INSTANTIATE_TEST_SUITE_P(Emulated, RotaryEmbedding,
                         ::testing::Combine(::testing::ValuesIn(emulated_engines()), ::testing::ValuesIn(kLayouts),
                                            ::testing::Values(2, 3, 17, 64, 80)),
                         EngineNames());

TEST(RotaryEmbeddingComparison, SeesAPlantedFault) {
  const Problem problem(3, 2, 17, 8, RotaryLayout::halves);
  const auto want = problem.run(*make_engine("reference"));
  auto got = problem.run(*make_engine("cpu"));
  got[2 * 34 + 33] *= 1.000001f;  // beyond the pairs
  EXPECT_GT(worst_share(problem, got, want), 1.0);
  Problem other = problem;
  other.layout = RotaryLayout::interleaved;
  EXPECT_GT(worst_share(problem, other.run(*make_engine("cpu")), want), 1.0);
}

class RotaryEmbeddingOnEngine : public ::testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(All, RotaryEmbeddingOnEngine, ::testing::ValuesIn(test_engines()), EngineNames());

// A quarter turn takes (a, b) to (-b, a): which elements pair up, and which way they turn.
TEST_P(RotaryEmbeddingOnEngine, TurnsTheLayoutsOwnPairs) {
  const std::vector<float> cosine(2, 0.0f), sine(2, 1.0f);
  const auto turned = [&](RotaryLayout layout) {
    std::vector<float> x{1, 2, 3, 4, 5, 6, 7, 8, 9, 10};  // two heads of 5
    make_test_engine(GetParam())
        ->rotary_embedding({.x = {x.data(), 1, 10, 10},
                            .heads = 2,
                            .cosine = {cosine.data(), 1, 2, 2},
                            .sine = {sine.data(), 1, 2, 2},
                            .layout = layout});
    return x;
  };
  EXPECT_EQ(turned(RotaryLayout::halves), (std::vector<float>{-3, -4, 1, 2, 5, -8, -9, 6, 7, 10}));
  EXPECT_EQ(turned(RotaryLayout::interleaved), (std::vector<float>{-2, 1, -4, 3, 5, -7, 6, -9, 8, 10}));
}

// x is a column range of a wider buffer, as the queries in one of queries, keys and values.
TEST_P(RotaryEmbeddingOnEngine, TurnsStridedRowsAndNothingBeside) {
  const auto engine = make_test_engine(GetParam());
  for (const RotaryLayout layout : kLayouts) {
    const Problem problem(5, 3, 37, 17, layout);
    const std::size_t width = problem.width(), stride = 3 * width;
    const auto dense = problem.run(*engine);
    std::vector<float> buffer(5 * stride, 77.0f);
    auto want = buffer;
    for (std::size_t t = 0; t < 5; ++t) {
      std::copy_n(&problem.x[t * width], width, &buffer[t * stride + width]);
      std::copy_n(&dense[t * width], width, &want[t * stride + width]);
    }
    problem.turn(*engine, {buffer.data() + width, 5, width, stride});
    EXPECT_EQ(buffer, want);
  }
}

TEST_P(RotaryEmbeddingOnEngine, NoRowsOrNoPairsIsNothingToDo) {
  std::vector<float> x(12, 2.0f);
  const auto engine = make_test_engine(GetParam());
  EXPECT_NO_THROW(engine->rotary_embedding(
      {.x = {nullptr, 0, 4, 4}, .heads = 2, .cosine = {nullptr, 0, 1, 1}, .sine = {nullptr, 0, 1, 1}}));
  engine->rotary_embedding(
      {.x = {x.data(), 3, 4, 4}, .heads = 2, .cosine = {nullptr, 3, 0, 0}, .sine = {nullptr, 3, 0, 0}});
  EXPECT_THAT(x, ::testing::Each(2.0f));
}

TEST(RotaryEmbeddingDeterminism, GivesTheSameBitsForAnyNumberOfThreads) {
  for (const std::string& name : fast_engines())
    for (const RotaryLayout layout : kLayouts)
      for (const std::size_t rows : {1, 33, 600}) {  // the last on several threads
        const Problem problem(rows, 3, 65, 31, layout);
        const auto one = problem.run(*make_test_engine(name, 1));
        for (const int threads : {2, 3}) EXPECT_EQ(problem.run(*make_test_engine(name, threads)), one) << rows;
      }
}

TEST(RotaryEmbeddingArguments, NameTheValueThatIsWrong) {
  std::vector<float> x(20), cosine(4), sine(4);
  const auto engine = make_engine("cpu");
  const RotaryEmbeddingArgs good{
      .x = {x.data(), 2, 10, 10}, .heads = 2, .cosine = {cosine.data(), 2, 2, 2}, .sine = {sine.data(), 2, 2, 2}};
  const auto message = [&](auto&& spoil) {
    RotaryEmbeddingArgs args = good;
    spoil(args);
    return message_of([&] { engine->rotary_embedding(args); });
  };
  EXPECT_EQ(message([](RotaryEmbeddingArgs&) {}), "no error");
  EXPECT_EQ(message([](RotaryEmbeddingArgs& args) { args.heads = 0; }),
            "rotary_embedding: heads is 0, needs to be at least 1 and to divide x's 10 columns");
  EXPECT_EQ(message([](RotaryEmbeddingArgs& args) { args.heads = 3; }),
            "rotary_embedding: heads is 3, needs to be at least 1 and to divide x's 10 columns");
  EXPECT_EQ(message([](RotaryEmbeddingArgs& args) { args.heads = 5; }),
            "rotary_embedding: cosine has 2 columns, needs at most half the head size of 2");
  EXPECT_EQ(message([](RotaryEmbeddingArgs& args) { args.x.stride = 9; }),
            "rotary_embedding: x has a stride of 9, needs at least its 10 columns");
  EXPECT_EQ(message([](RotaryEmbeddingArgs& args) { args.cosine.rows = 1; }),
            "rotary_embedding: cosine is [1, 2], needs [2, 2]");
  EXPECT_EQ(message([](RotaryEmbeddingArgs& args) { args.sine.columns = 1; }),
            "rotary_embedding: sine is [2, 1], needs [2, 2]");
  EXPECT_EQ(message([](RotaryEmbeddingArgs& args) { args.sine.data = nullptr; }),
            "rotary_embedding: sine is [2, 2] with no memory");
  EXPECT_THAT(message([&](RotaryEmbeddingArgs& args) { args.cosine.data = x.data() + 16; }),
              HasSubstr("rotary_embedding: x overlaps cosine"));
  EXPECT_THAT(message([&](RotaryEmbeddingArgs& args) { args.sine.data = x.data() + 16; }),
              HasSubstr("rotary_embedding: x overlaps sine"));
}

}  // namespace
}  // namespace lexiscope::testing
