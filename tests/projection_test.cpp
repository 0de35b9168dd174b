// The projection of every engine against the reference, at odd shapes, within a bound derived below.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <tuple>
#include <vector>

#include "lexiscope/engine.h"
#include "tests/support/compare.h"
#include "tests/support/control.h"
#include "tests/support/engines.h"
#include "tests/support/errors.h"

namespace lexiscope::testing {
namespace {

struct Problem {
  std::size_t n, d, k;
  bool with_mean;
  std::vector<float> x;
  std::vector<double> mean, components;

  Problem(std::size_t n_, std::size_t d_, std::size_t k_, bool with_mean_)
      : n(n_), d(d_), k(k_), with_mean(with_mean_) {
    const auto seed = static_cast<unsigned>(n * 1009 + d * 31 + k);
    x = random_normal(n * d, seed, with_mean ? 1000.0f : 0.0f);
    const auto values = random_normal(k * d, seed + 1);
    components.assign(values.begin(), values.end());
    for (std::size_t a = 0; a < d; ++a) mean.push_back(1000.0 + 0.001 * static_cast<double>(a));
  }

  ProjectionArgs args(std::vector<float>& scores, const Control* control = nullptr) const {
    scores.assign(n * k, -7);
    ProjectionArgs result{.x = {x.data(), n, d, d},
                          .components = {components.data(), k, d, d},
                          .scores = {scores.data(), n, k, k},
                          .control = control};
    if (with_mean) result.mean = {mean.data(), d};
    return result;
  }
  std::vector<float> run(Engine& engine) const {
    std::vector<float> scores;
    engine.projection(args(scores));
    return scores;
  }
};

// Centring, product and a sum of d in double: d + 1 roundings of 2^-53, relative to the sum of |x - mean| |component|.
// Then one rounding to f32 of the score. Both engines err by that.
double worst_share(const Problem& problem, const std::vector<float>& got, const std::vector<float>& want) {
  double worst = 0;
  for (std::size_t i = 0; i < problem.n; ++i)
    for (std::size_t j = 0; j < problem.k; ++j) {
      double terms = 0;
      for (std::size_t a = 0; a < problem.d; ++a)
        terms += std::abs((problem.x[i * problem.d + a] - (problem.with_mean ? problem.mean[a] : 0)) *
                          problem.components[j * problem.d + a]);
      const std::size_t at = i * problem.k + j;
      const double bound =
          2 * (static_cast<double>(problem.d + 2) * kUnitF64 * terms + kUnitF32 * std::abs(double(want[at])));
      worst = std::max(worst, error_share(got[at], want[at], bound));
    }
  return worst;
}

class Projection
    : public ::testing::TestWithParam<std::tuple<std::string, std::size_t, std::size_t, std::size_t, bool>> {};

TEST_P(Projection, AgreesWithTheReference) {
  const auto [engine, n, d, k, with_mean] = GetParam();
  const Problem problem(n, d, k, with_mean);
  const auto want = problem.run(*make_engine("reference"));
  EXPECT_LE(worst_share(problem, problem.run(*make_test_engine(engine)), want), 1.0);
}

INSTANTIATE_TEST_SUITE_P(OddShapes, Projection,
                         ::testing::Combine(::testing::ValuesIn(fast_engines()),
                                            ::testing::Values(1, 2, 3, 17, 33, 127, 500),
                                            ::testing::Values(1, 2, 3, 17, 31, 65, 129, 384),
                                            ::testing::Values(1, 2, 9, 24, 50, 97), ::testing::Bool()),
                         EngineNames());
INSTANTIATE_TEST_SUITE_P(Emulated, Projection,
                         ::testing::Combine(::testing::ValuesIn(emulated_engines()), ::testing::Values(1, 33, 127),
                                            ::testing::Values(1, 31, 129, 1030), ::testing::Values(1, 9, 50),
                                            ::testing::Bool()),
                         EngineNames());

class ProjectionOnEngine : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Engines, ProjectionOnEngine, ::testing::ValuesIn(test_engines()), EngineNames());

TEST_P(ProjectionOnEngine, GivesTheSameBitsForAnyThreads) {
  const Problem problem(1001, 65, 50, true);
  const auto once = problem.run(*make_test_engine(GetParam(), 1));
  for (const int threads : {2, 3}) EXPECT_EQ(problem.run(*make_test_engine(GetParam(), threads)), once);
}

TEST_P(ProjectionOnEngine, OfNothingIsNothing) {
  const auto engine = make_test_engine(GetParam());
  EXPECT_TRUE(Problem(0, 3, 2, true).run(*engine).empty());
  EXPECT_TRUE(Problem(3, 3, 0, true).run(*engine).empty());
}

TEST_P(ProjectionOnEngine, OnUnitVectorsTakesColumns) {
  Problem problem(3, 4, 2, false);
  problem.components = {0, 0, 1, 0, 0, -1, 0, 0};
  const auto scores = problem.run(*make_test_engine(GetParam()));
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(scores[i * 2], problem.x[i * 4 + 2]);
    EXPECT_EQ(scores[i * 2 + 1], -problem.x[i * 4 + 1]);
  }
}

TEST_P(ProjectionOnEngine, ReadsAndWritesStridedViews) {
  const Problem problem(50, 20, 7, true);
  std::vector<float> x(50 * 23), scores(50 * 11, -7);
  for (std::size_t i = 0; i < 50; ++i) std::copy_n(&problem.x[i * 20], 20, &x[i * 23]);
  std::vector<double> components(7 * 21);
  for (std::size_t j = 0; j < 7; ++j) std::copy_n(&problem.components[j * 20], 20, &components[j * 21]);
  const auto engine = make_test_engine(GetParam());
  engine->projection({.x = {x.data(), 50, 20, 23},
                      .mean = {problem.mean.data(), 20},
                      .components = {components.data(), 7, 20, 21},
                      .scores = {scores.data(), 50, 7, 11}});
  const auto want = problem.run(*engine);
  for (std::size_t i = 0; i < 50; ++i)
    for (std::size_t j = 0; j < 11; ++j) ASSERT_EQ(scores[i * 11 + j], j < 7 ? want[i * 7 + j] : -7);
}

TEST_P(ProjectionOnEngine, StopsWhenAskedAndReportsProgress) {
  const Problem problem(100, 10, 5, true);
  const auto engine = make_test_engine(GetParam());
  std::vector<float> scores;
  expect_control_is_honoured([&](const Control* control) { engine->projection(problem.args(scores, control)); });
}

TEST(ProjectionComparison, SeesAPlantedFault) {
  const Problem problem(17, 129, 50, true);
  const auto want = problem.run(*make_engine("reference"));
  auto got = problem.run(*make_engine("cpu"));
  got[16 * 50 + 49] *= 1.000001f;
  EXPECT_GT(worst_share(problem, got, want), 1.0);
}

std::string complaint(const ProjectionArgs& args) {
  return message_of([&] { make_engine("cpu")->projection(args); });
}

TEST(ProjectionArguments, NameTheValueThatIsWrong) {
  const Problem problem(5, 4, 3, true);
  std::vector<float> scores;
  const ProjectionArgs good = problem.args(scores);
  EXPECT_EQ(complaint(good), "no error");
  ProjectionArgs args = good;
  args.mean.size = 3;
  EXPECT_EQ(complaint(args), "projection: mean has 3 elements, x has 4 columns");
  args = good;
  args.components.columns = 2;
  EXPECT_EQ(complaint(args), "projection: components is [3, 2], x has 4 columns");
  args = good;
  args.scores.rows = 4;
  EXPECT_EQ(complaint(args), "projection: scores is [4, 3], needs [5, 3]");
  args = good;
  args.scores = {const_cast<float*>(problem.x.data()), 5, 3, 4};
  EXPECT_THAT(complaint(args), ::testing::StartsWith("projection: scores overlaps x: scores is [5, 3] at "));
}

}  // namespace
}  // namespace lexiscope::testing
