// RMSNorm of every engine against the reference, at odd shapes, within a bound derived below.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <tuple>
#include <vector>

#include "lexiscope/engine.h"
#include "tests/support/compare.h"
#include "tests/support/engines.h"
#include "tests/support/errors.h"

namespace lexiscope::testing {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

struct Problem {
  std::size_t rows, d;
  std::vector<float> x, gain;

  Problem(std::size_t rows_, std::size_t d_, float scale) : rows(rows_), d(d_) {
    const auto seed = static_cast<unsigned>(rows * 1009 + d);
    x = random_normal(rows * d, seed, 0, scale);
    gain = random_normal(d, seed + 1, 1);
  }

  std::vector<float> run(Engine& engine) const {
    std::vector<float> y(rows * d);
    engine.rms_norm({.x = {x.data(), rows, d, d}, .gain = {gain.data(), d}, .y = {y.data(), rows, d, d}});
    return y;
  }
};

// |error| of y, relative to |y| in units of u = 2^-24: the inverse root, from a sum in double, rounds once to f32, both
// products once each and the reference's store once. The fifth unit holds the double sum's (d + 8) 2^-53 and what is of
// second order. Where x / root is subnormal it errs by up to 2^-150, times the gain; the store by as much.
double worst_share(const Problem& problem, const std::vector<float>& got, const std::vector<float>& want) {
  double worst = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    const double gain = std::abs(problem.gain[i % problem.d]);
    const double bound = 5 * kUnitF32 * std::abs(want[i]) + 0x1p-149 * (gain + 1);
    worst = std::max(worst, error_share(got[i], want[i], bound));
  }
  return worst;
}

class RmsNorm : public ::testing::TestWithParam<std::tuple<std::string, std::size_t, std::size_t, float>> {};

TEST_P(RmsNorm, AgreesWithTheReference) {
  const auto [engine, rows, d, scale] = GetParam();
  const Problem problem(rows, d, scale);
  const auto want = problem.run(*make_engine("reference"));
  EXPECT_LE(worst_share(problem, problem.run(*make_test_engine(engine)), want), 1.0);
}

INSTANTIATE_TEST_SUITE_P(OddShapes, RmsNorm,
                         ::testing::Combine(::testing::ValuesIn(fast_engines()), ::testing::Values(1, 2, 33),
                                            ::testing::Values(1, 2, 3, 17, 31, 33, 63, 65, 127, 129, 500, 768),
                                            ::testing::Values(1.0f, 1e-20f, 1e30f)),
                         EngineNames());
// Rows that a warp holds, that a block holds, and that nobody does.
INSTANTIATE_TEST_SUITE_P(Emulated, RmsNorm,
                         ::testing::Combine(::testing::ValuesIn(emulated_engines()), ::testing::Values(1, 9),
                                            ::testing::Values(1, 3, 31, 64, 129, 512, 513, 768, 1024, 1500),
                                            ::testing::Values(1.0f, 1e-20f, 1e30f)),
                         EngineNames());
INSTANTIATE_TEST_SUITE_P(EmulatedWide, RmsNorm,
                         ::testing::Combine(::testing::ValuesIn(emulated_engines()), ::testing::Values(1),
                                            ::testing::Values(8191, 8192, 8193, 8196, 16383, 16385, 32768, 32772),
                                            ::testing::Values(1e30f)),
                         EngineNames());

// Rows that a vector's, a warp's or a block's registers no longer hold, of whole vectors and not.
INSTANTIATE_TEST_SUITE_P(WideRows, RmsNorm,
                         ::testing::Combine(::testing::ValuesIn(fast_engines()), ::testing::Values(2),
                                            ::testing::Values(1025, 4096, 16385, 32772), ::testing::Values(1.0f)),
                         EngineNames());

TEST(RmsNormComparison, SeesAPlantedFault) {
  const Problem problem(3, 129, 1);
  const auto want = problem.run(*make_engine("reference"));
  auto got = problem.run(*make_engine("cpu"));
  got[2 * 129 + 128] *= 1.000001f;
  EXPECT_GT(worst_share(problem, got, want), 1.0);
}

class RmsNormOnEngine : public ::testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(All, RmsNormOnEngine, ::testing::ValuesIn(test_engines()), EngineNames());

// The largest f32: its square is beyond f32, and the inverse of its root is subnormal.
TEST_P(RmsNormOnEngine, OfAConstantRowIsTheGain) {
  const std::vector<float> gain(65, 2.0f);
  for (const float value : {3.0f, 1e30f, std::numeric_limits<float>::max()}) {
    const std::vector<float> x(65, value);
    std::vector<float> y(65);
    make_test_engine(GetParam())
        ->rms_norm(
            {.x = {x.data(), 1, 65, 65}, .gain = {gain.data(), 65}, .y = {y.data(), 1, 65, 65}, .epsilon = 1e-20f});
    EXPECT_THAT(y, Each(::testing::FloatNear(2, 2 * 5 * kUnitF32))) << value;
  }
}

TEST_P(RmsNormOnEngine, OfZerosIsZero) {
  const std::vector<float> x(17), gain(17, 2.0f);
  std::vector<float> y(17, 1.0f);
  make_test_engine(GetParam())
      ->rms_norm({.x = {x.data(), 1, 17, 17}, .gain = {gain.data(), 17}, .y = {y.data(), 1, 17, 17}});
  EXPECT_THAT(y, Each(0.0f));
}

TEST_P(RmsNormOnEngine, WritesOverItsOwnInput) {
  const Problem problem(5, 129, 1);
  const auto engine = make_test_engine(GetParam());
  auto x = problem.x;
  const MatrixView<float> view{x.data(), 5, 129, 129};
  engine->rms_norm({.x = view, .gain = {problem.gain.data(), 129}, .y = view});
  EXPECT_EQ(x, problem.run(*engine));
}

// x and y are column ranges of one buffer, so that every row of one lies between two of the other.
TEST_P(RmsNormOnEngine, ReadsAndWritesStridedRowsAndNothingBeside) {
  constexpr std::size_t kRows = 3, kD = 37, kStride = 90;
  const Problem problem(kRows, kD, 1);
  const auto engine = make_test_engine(GetParam());
  const auto dense = problem.run(*engine);
  std::vector<float> buffer(kRows * kStride, 77.0f);
  for (std::size_t t = 0; t < kRows; ++t) std::copy_n(&problem.x[t * kD], kD, &buffer[t * kStride]);
  auto want = buffer;
  for (std::size_t t = 0; t < kRows; ++t) std::copy_n(&dense[t * kD], kD, &want[t * kStride + kD]);
  engine->rms_norm({.x = {buffer.data(), kRows, kD, kStride},
                    .gain = {problem.gain.data(), kD},
                    .y = {buffer.data() + kD, kRows, kD, kStride}});
  EXPECT_EQ(buffer, want);
}

TEST_P(RmsNormOnEngine, NoRowsIsNothingToDo) {
  const std::vector<float> gain(4, 1.0f);
  EXPECT_NO_THROW(make_test_engine(GetParam())
                      ->rms_norm({.x = {nullptr, 0, 4, 4}, .gain = {gain.data(), 4}, .y = {nullptr, 0, 4, 4}}));
}

TEST(RmsNormDeterminism, GivesTheSameBitsForAnyNumberOfThreads) {
  for (const std::string& name : fast_engines())
    for (const std::size_t rows : {1, 33, 600}) {  // the last on several threads
      const Problem problem(rows, 129, 1);
      const auto one = problem.run(*make_test_engine(name, 1));
      for (const int threads : {2, 3}) EXPECT_EQ(problem.run(*make_test_engine(name, threads)), one) << rows;
    }
}

TEST(RmsNormArguments, NameTheValueThatIsWrong) {
  std::vector<float> x(8), y(8), gain(4, 1.0f);
  const auto engine = make_engine("cpu");
  const RmsNormArgs good{.x = {x.data(), 2, 4, 4}, .gain = {gain.data(), 4}, .y = {y.data(), 2, 4, 4}};
  const auto message = [&](auto&& spoil) {
    RmsNormArgs args = good;
    spoil(args);
    return message_of([&] { engine->rms_norm(args); });
  };
  EXPECT_EQ(message([](RmsNormArgs&) {}), "no error");
  EXPECT_EQ(message([](RmsNormArgs& args) { args.gain.size = 3; }), "rms_norm: gain has 3 elements, needs 4");
  EXPECT_EQ(message([](RmsNormArgs& args) { args.gain = {}; }), "rms_norm: gain is empty, needs 4 elements");
  EXPECT_EQ(message([](RmsNormArgs& args) { args.x.columns = 0; }), "rms_norm: x has 0 columns, needs at least 1");
  EXPECT_EQ(message([](RmsNormArgs& args) { args.x.stride = 3; }),
            "rms_norm: x has a stride of 3, needs at least its 4 columns");
  EXPECT_EQ(message([](RmsNormArgs& args) { args.y.rows = 1; }), "rms_norm: y is [1, 4], needs [2, 4]");
  EXPECT_EQ(message([](RmsNormArgs& args) { args.epsilon = -1; }), "rms_norm: epsilon is -1, needs to be positive");
  EXPECT_THAT(message([&](RmsNormArgs& args) { args.y.data = x.data() + 1; }), HasSubstr("rms_norm: y overlaps x"));
  EXPECT_THAT(message([&](RmsNormArgs& args) { args.gain.data = y.data() + 4; }),
              HasSubstr("rms_norm: y overlaps gain"));
}

}  // namespace
}  // namespace lexiscope::testing
