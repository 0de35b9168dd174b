// LayerNorm of every engine against the reference, at odd shapes, within a bound derived below.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <tuple>
#include <vector>

#include "lexiscope/engine.h"
#include "tests/support/compare.h"
#include "tests/support/engines.h"
#include "tests/support/errors.h"

namespace lexiscope::testing {
namespace {

using ::testing::HasSubstr;

struct Problem {
  std::size_t rows, d;
  std::vector<float> x, residual, gain, bias;

  Problem(std::size_t rows_, std::size_t d_, float offset) : rows(rows_), d(d_) {
    const auto seed = static_cast<unsigned>(rows * 1009 + d);
    x = random_normal(rows * d, seed, offset);
    residual = random_normal(rows * d, seed + 1);
    gain = random_normal(d, seed + 2, 1);
    bias = random_normal(d, seed + 3);
  }

  std::vector<float> run(Engine& engine, bool with_residual) const {
    std::vector<float> y(rows * d);
    LayerNormArgs args{
        .x = {x.data(), rows, d, d}, .gain = {gain.data(), d}, .bias = {bias.data(), d}, .y = {y.data(), rows, d, d}};
    if (with_residual) args.residual = {residual.data(), rows, d, d};
    engine.layer_norm(args);
    return y;
  }

  // The largest |got - want| / bound. |error| of y[t][i] in f32, u = 2^-24: s = x + r rounds once (u |s|); a mean of d
  // values summed in at least 4 chains is off by at most (d/4 + 5) u max|s|; both are divided by the deviation. The
  // variance and its root add (d/4 + 11) u relative to |y - bias|; product, addition and store round three times more.
  double worst_share(const std::vector<float>& got, const std::vector<float>& want, bool with_residual) const {
    const double u = kUnitF32, chain = static_cast<double>(d) / 4 + 5;
    double worst = 0;
    for (std::size_t t = 0; t < rows; ++t) {
      const auto [largest, deviation] = row_scale(t, with_residual);
      for (std::size_t i = 0; i < d; ++i) {
        const double y = want[t * d + i], normal = std::abs(y - bias[i]);
        const double bound =
            u * (std::abs(gain[i]) * (chain + 2) * largest / deviation + (chain + 6) * normal + 3 * std::abs(y));
        worst = std::max(worst, error_share(got[t * d + i], y, bound));
      }
    }
    return worst;
  }

  struct RowScale {
    double largest, deviation;
  };
  RowScale row_scale(std::size_t t, bool with_residual) const {
    double largest = 0, mean = 0, variance = 0;
    const auto s = [&](std::size_t k) { return double(x[t * d + k]) + (with_residual ? residual[t * d + k] : 0.0f); };
    for (std::size_t k = 0; k < d; ++k) largest = std::max(largest, std::abs(s(k))), mean += s(k) / double(d);
    for (std::size_t k = 0; k < d; ++k) variance += (s(k) - mean) * (s(k) - mean) / double(d);
    return {largest, std::sqrt(variance + 1e-5)};
  }
};

class LayerNorm : public ::testing::TestWithParam<std::tuple<std::string, std::size_t, std::size_t, bool, float>> {};

TEST_P(LayerNorm, AgreesWithTheReference) {
  const auto [engine, rows, d, with_residual, offset] = GetParam();
  const Problem problem(rows, d, offset);
  const auto want = problem.run(*make_engine("reference"), with_residual);
  EXPECT_LE(problem.worst_share(problem.run(*make_test_engine(engine), with_residual), want, with_residual), 1.0);
}

INSTANTIATE_TEST_SUITE_P(OddShapes, LayerNorm,
                         ::testing::Combine(::testing::ValuesIn(fast_engines()), ::testing::Values(1, 2, 33),
                                            ::testing::Values(1, 2, 3, 17, 31, 64, 129, 384, 768), ::testing::Bool(),
                                            ::testing::Values(0.0f, 100.0f)),
                         EngineNames());
// Rows that a warp holds, that a block holds, and that nobody does, on either side of each border; of whole packs and
// not.
INSTANTIATE_TEST_SUITE_P(Emulated, LayerNorm,
                         ::testing::Combine(::testing::ValuesIn(emulated_engines()), ::testing::Values(1, 9),
                                            ::testing::Values(1, 3, 31, 64, 129, 384, 512, 513, 768, 1023, 1024, 1025,
                                                              1500),
                                            ::testing::Bool(), ::testing::Values(100.0f)),
                         EngineNames());
INSTANTIATE_TEST_SUITE_P(EmulatedWide, LayerNorm,
                         ::testing::Combine(::testing::ValuesIn(emulated_engines()), ::testing::Values(1),
                                            ::testing::Values(8191, 8192, 8193, 8196, 16383, 16385, 32768, 32772),
                                            ::testing::Bool(), ::testing::Values(100.0f)),
                         EngineNames());

// Rows that a vector's, a warp's or a block's registers no longer hold, of whole vectors and not.
INSTANTIATE_TEST_SUITE_P(WideRows, LayerNorm,
                         ::testing::Combine(::testing::ValuesIn(fast_engines()), ::testing::Values(2),
                                            ::testing::Values(1025, 4096, 16385, 32772), ::testing::Bool(),
                                            ::testing::Values(100.0f)),
                         EngineNames());

TEST(LayerNormComparison, SeesAPlantedFault) {
  const Problem problem(3, 129, 0);
  const auto want = problem.run(*make_engine("reference"), true);
  auto got = problem.run(*make_engine("cpu"), true);
  got[2 * 129 + 128] *= 1.0001f;
  EXPECT_GT(problem.worst_share(got, want, true), 1.0);
}

class LayerNormOnEngine : public ::testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(All, LayerNormOnEngine, ::testing::ValuesIn(test_engines()), EngineNames());

TEST_P(LayerNormOnEngine, WritesOverItsOwnInputs) {
  const Problem problem(5, 129, 1);
  const auto engine = make_test_engine(GetParam());
  const auto want = problem.run(*engine, true);
  for (const bool over_x : {true, false}) {
    auto x = problem.x, residual = problem.residual;
    const MatrixView<float> x_view{x.data(), 5, 129, 129}, residual_view{residual.data(), 5, 129, 129};
    engine->layer_norm({.x = x_view,
                        .residual = residual_view,
                        .gain = {problem.gain.data(), 129},
                        .bias = {problem.bias.data(), 129},
                        .y = over_x ? x_view : residual_view});
    EXPECT_EQ(over_x ? x : residual, want);
  }
}

// x, residual and y are column ranges of one buffer, so that every row of one lies between two of another.
TEST_P(LayerNormOnEngine, ReadsAndWritesStridedRowsAndNothingBeside) {
  constexpr std::size_t kRows = 3, kD = 37, kStride = 130;
  const Problem problem(kRows, kD, 1);
  const auto engine = make_test_engine(GetParam());
  std::vector<float> buffer(kRows * kStride, 77.0f);
  for (std::size_t t = 0; t < kRows; ++t) {
    std::copy_n(problem.x.data() + t * kD, kD, buffer.data() + t * kStride);
    std::copy_n(problem.residual.data() + t * kD, kD, buffer.data() + t * kStride + 2 * kD);
  }
  auto want = buffer;
  const auto dense = problem.run(*engine, true);
  for (std::size_t t = 0; t < kRows; ++t) std::copy_n(dense.data() + t * kD, kD, want.data() + t * kStride + kD);
  engine->layer_norm({.x = {buffer.data(), kRows, kD, kStride},
                      .residual = {buffer.data() + 2 * kD, kRows, kD, kStride},
                      .gain = {problem.gain.data(), kD},
                      .bias = {problem.bias.data(), kD},
                      .y = {buffer.data() + kD, kRows, kD, kStride}});
  EXPECT_EQ(buffer, want);
}

TEST_P(LayerNormOnEngine, OfAConstantRowIsTheBias) {
  const std::vector<float> x(2 * 65, 3.0f), gain(65, 2.0f), bias(65, 0.5f);
  std::vector<float> y(2 * 65);
  make_test_engine(GetParam())
      ->layer_norm({.x = {x.data(), 2, 65, 65},
                    .gain = {gain.data(), 65},
                    .bias = {bias.data(), 65},
                    .y = {y.data(), 2, 65, 65}});
  EXPECT_THAT(y, ::testing::Each(0.5f));
}

TEST_P(LayerNormOnEngine, WithoutABiasHasOneOfZeros) {
  const auto engine = make_test_engine(GetParam());
  for (const std::size_t d : {129, 1500}) {
    Problem problem(3, d, 1);
    std::ranges::fill(problem.bias, 0.0f);
    std::vector<float> y(3 * d);
    engine->layer_norm({.x = {problem.x.data(), 3, d, d}, .gain = {problem.gain.data(), d}, .y = {y.data(), 3, d, d}});
    EXPECT_EQ(y, problem.run(*engine, false));
  }
}

TEST_P(LayerNormOnEngine, NoRowsIsNothingToDo) {
  const std::vector<float> gain(4, 1.0f);
  EXPECT_NO_THROW(make_test_engine(GetParam())
                      ->layer_norm({.x = {nullptr, 0, 4, 4}, .gain = {gain.data(), 4}, .y = {nullptr, 0, 4, 4}}));
}

TEST(LayerNormDeterminism, GivesTheSameBitsForAnyNumberOfThreads) {
  for (const std::string& name : fast_engines())
    for (const std::size_t rows : {1, 2, 33, 600}) {  // the last on several threads
      const Problem problem(rows, 129, 1);
      const auto one = problem.run(*make_test_engine(name, 1), true);
      for (const int threads : {2, 3}) EXPECT_EQ(problem.run(*make_test_engine(name, threads), true), one) << rows;
    }
}

TEST(LayerNormArguments, NameTheValueThatIsWrong) {
  std::vector<float> x(8), y(8), gain(4, 1.0f);
  const auto engine = make_engine("cpu");
  const LayerNormArgs good{.x = {x.data(), 2, 4, 4}, .gain = {gain.data(), 4}, .y = {y.data(), 2, 4, 4}};
  const auto message = [&](auto&& spoil) {
    LayerNormArgs args = good;
    spoil(args);
    return message_of([&] { engine->layer_norm(args); });
  };
  EXPECT_EQ(message([](LayerNormArgs&) {}), "no error");
  EXPECT_EQ(message([](LayerNormArgs& args) { args.gain.size = 3; }), "layer_norm: gain has 3 elements, needs 4");
  EXPECT_EQ(message([](LayerNormArgs& args) { args.gain = {}; }), "layer_norm: gain is empty, needs 4 elements");
  EXPECT_EQ(message([&](LayerNormArgs& args) {
              args.bias = {gain.data(), 5};
            }),
            "layer_norm: bias has 5 elements, needs 4");
  EXPECT_EQ(message([](LayerNormArgs& args) { args.x.columns = 0; }), "layer_norm: x has 0 columns, needs at least 1");
  EXPECT_EQ(message([](LayerNormArgs& args) { args.x.stride = 3; }),
            "layer_norm: x has a stride of 3, needs at least its 4 columns");
  EXPECT_EQ(message([](LayerNormArgs& args) { args.y.rows = 1; }), "layer_norm: y is [1, 4], needs [2, 4]");
  EXPECT_EQ(message([&](LayerNormArgs& args) {
              args.residual = {x.data(), 1, 4, 4};
            }),
            "layer_norm: residual is [1, 4], needs [2, 4]");
  EXPECT_EQ(message([](LayerNormArgs& args) { args.epsilon = 0; }), "layer_norm: epsilon is 0, needs to be positive");
}

TEST(LayerNormArguments, MustNotOverlapTheOutputInPart) {
  std::vector<float> memory(64), gain(4, 1.0f);
  float* data = memory.data();
  const auto engine = make_engine("cpu");
  const auto message = [&](MatrixView<float> residual, VectorView<const float> bias, MatrixView<float> y) {
    return message_of([&] {
      engine->layer_norm({.x = {data, 2, 4, 4}, .residual = residual, .gain = {gain.data(), 4}, .bias = bias, .y = y});
    });
  };
  EXPECT_EQ(message({}, {}, {data, 2, 4, 4}), "no error");
  EXPECT_THAT(message({}, {}, {data + 4, 2, 4, 4}), HasSubstr("layer_norm: y overlaps x"));
  EXPECT_THAT(message({}, {}, {data, 2, 4, 5}), HasSubstr("layer_norm: y overlaps x"));
  EXPECT_THAT(message({data + 8, 2, 4, 4}, {}, {data + 15, 2, 4, 4}), HasSubstr("layer_norm: y overlaps residual"));
  EXPECT_THAT(message({}, {data + 12, 4}, {data + 8, 2, 4, 4}), HasSubstr("layer_norm: y overlaps bias"));
}

}  // namespace
}  // namespace lexiscope::testing
