// The covariance of every engine against the reference, at odd shapes, within a bound derived below.
#include "kernels/cpu/covariance.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
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

struct Moments {
  std::vector<double> mean, covariance;
};

struct Problem {
  std::size_t n, d;
  bool centered;
  std::vector<float> x;

  // Columns of different scales, correlated with their neighbours.
  Problem(std::size_t n_, std::size_t d_, bool centered_, float offset) : n(n_), d(d_), centered(centered_) {
    x = random_normal(n * d, static_cast<unsigned>(n * 1009 + d), 0);
    for (std::size_t i = 0; i < n * d; ++i) {
      const std::size_t column = i % d;
      if (column > 0) x[i] = (x[i] + x[i - 1]) / (1 + static_cast<float>(column % 7));
    }
    for (float& value : x) value += offset;
  }

  CovarianceArgs args(Moments& out, const Control* control = nullptr) const {
    out = {std::vector<double>(d, -7), std::vector<double>(d * d, -7)};
    return {.x = {x.data(), n, d, d},
            .centered = centered,
            .mean = {out.mean.data(), d},
            .covariance = {out.covariance.data(), d, d, d},
            .control = control};
  }
  Moments run(Engine& engine) const {
    Moments out;
    engine.covariance(args(out));
    return out;
  }
};

// With u = 2^-53: a sum of n values in any order is off by at most (n - 1) u times the sum of their magnitudes, so a
// mean is off by e = n u mean|x| and two of them by twice that.
std::vector<double> mean_errors(const Problem& problem) {
  std::vector<double> errors(problem.d);
  const double n = static_cast<double>(problem.n);
  for (std::size_t i = 0; i < problem.x.size(); ++i) errors[i % problem.d] += kUnitF64 * std::abs(problem.x[i]);
  for (double& error : errors) error *= (n + 1) / n;
  return errors;
}

// The largest error as a share of its bound. A covariance about m + e instead of m is larger by e_a e_b and no more,
// since deviations sum to 0. Deviation, product, sum over n and division round n + 4 times, relative to the mean of
// |x_a - m_a| |x_b - m_b|, each deviation being e larger than the exact one at most. Both engines err by that.
double worst_share(const Problem& problem, const Moments& got, const Moments& want) {
  const std::size_t n = problem.n, d = problem.d;
  const std::vector<double> mean_error = mean_errors(problem);
  std::vector<double> magnitudes(n * d);
  for (std::size_t i = 0; i < n * d; ++i)
    magnitudes[i] =
        problem.centered ? std::abs(problem.x[i] - want.mean[i % d]) + 2 * mean_error[i % d] : std::abs(problem.x[i]);
  double worst = 0;
  for (std::size_t a = 0; a < d; ++a) {
    worst = std::max(worst, error_share(got.mean[a], want.mean[a], 2 * mean_error[a]));
    for (std::size_t b = 0; b < d; ++b) {
      double terms = 0;
      for (std::size_t i = 0; i < n; ++i) terms += magnitudes[i * d + a] * magnitudes[i * d + b];
      const double rounding = static_cast<double>(n + 4) * kUnitF64 * terms / static_cast<double>(n);
      const double bound = 2 * (rounding + mean_error[a] * mean_error[b]);
      worst = std::max(worst, error_share(got.covariance[a * d + b], want.covariance[a * d + b], bound));
    }
  }
  return worst;
}

class Covariance : public ::testing::TestWithParam<std::tuple<std::string, std::size_t, std::size_t, bool, float>> {};

TEST_P(Covariance, AgreesWithTheReference) {
  const auto [engine, n, d, centered, offset] = GetParam();
  const Problem problem(n, d, centered, offset);
  const Moments want = problem.run(*make_engine("reference"));
  EXPECT_LE(worst_share(problem, problem.run(*make_test_engine(engine)), want), 1.0);
}

const auto kFastEngines = ::testing::ValuesIn(fast_engines());
const auto kEmulatedEngines = ::testing::ValuesIn(emulated_engines());

INSTANTIATE_TEST_SUITE_P(OddShapes, Covariance,
                         ::testing::Combine(kFastEngines, ::testing::Values(1, 2, 3, 17, 65, 257),
                                            ::testing::Values(1, 2, 3, 17, 31, 33, 63, 65, 129), ::testing::Bool(),
                                            ::testing::Values(0.0f, 1000.0f)),
                         EngineNames());
// Up to three tiles side by side.
INSTANTIATE_TEST_SUITE_P(WideShapes, Covariance,
                         ::testing::Combine(kFastEngines, ::testing::Values(2, 33),
                                            ::testing::Values(191, 192, 193, 400), ::testing::Values(true),
                                            ::testing::Values(1000.0f)),
                         EngineNames());
// More rows than a slot packs at once, and several slots.
INSTANTIATE_TEST_SUITE_P(LongShapes, Covariance,
                         ::testing::Combine(kFastEngines, ::testing::Values(1153, 5000), ::testing::Values(1, 24, 65),
                                            ::testing::Bool(), ::testing::Values(3.0f)),
                         EngineNames());
// One chunk of rows and many, of one row each too; slices of a chunk.
INSTANTIATE_TEST_SUITE_P(Emulated, Covariance,
                         ::testing::Combine(kEmulatedEngines, ::testing::Values(1, 2, 65),
                                            ::testing::Values(1, 3, 31, 65, 129), ::testing::Bool(),
                                            ::testing::Values(1000.0f)),
                         EngineNames());
INSTANTIATE_TEST_SUITE_P(EmulatedLong, Covariance,
                         ::testing::Combine(kEmulatedEngines, ::testing::Values(1500), ::testing::Values(1, 24),
                                            ::testing::Values(true), ::testing::Values(3.0f)),
                         EngineNames());
INSTANTIATE_TEST_SUITE_P(EmulatedWide, Covariance,
                         ::testing::Combine(kEmulatedEngines, ::testing::Values(5), ::testing::Values(1030),
                                            ::testing::Values(true), ::testing::Values(0.0f)),
                         EngineNames());

class CovarianceOnEngine : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Engines, CovarianceOnEngine, ::testing::ValuesIn(test_engines()), EngineNames());

TEST_P(CovarianceOnEngine, IsSymmetricToTheBit) {
  const Problem problem(129, 200, true, 1);
  const Moments got = problem.run(*make_test_engine(GetParam()));
  for (std::size_t a = 0; a < 200; ++a)
    for (std::size_t b = 0; b < a; ++b) ASSERT_EQ(got.covariance[a * 200 + b], got.covariance[b * 200 + a]);
}

TEST_P(CovarianceOnEngine, GivesTheSameBitsForAnyThreads) {
  const Problem problem(1501, 200, true, 1);
  const Moments once = problem.run(*make_test_engine(GetParam(), 1));
  for (const int threads : {2, 3}) {
    const Moments again = problem.run(*make_test_engine(GetParam(), threads));
    EXPECT_EQ(again.mean, once.mean);
    EXPECT_EQ(again.covariance, once.covariance);
  }
}

// A value that f32 holds exactly has an exact mean here, so its deviations are exactly 0.
TEST_P(CovarianceOnEngine, IsZeroForConstantColumns) {
  Problem problem(64, 33, true, 0);
  for (std::size_t i = 0; i < 64; ++i) problem.x[i * 33 + 5] = 1000.25f;
  const Moments got = problem.run(*make_test_engine(GetParam()));
  EXPECT_EQ(got.mean[5], 1000.25);
  for (std::size_t b = 0; b < 33; ++b) EXPECT_EQ(got.covariance[5 * 33 + b], 0) << b;
}

TEST_P(CovarianceOnEngine, OfOneRowIsZeroOrItsSquare) {
  Problem problem(1, 3, true, 0);
  problem.x = {1.5f, -2.0f, 0.25f};
  EXPECT_EQ(problem.run(*make_test_engine(GetParam())).covariance, std::vector<double>(9, 0.0));
  problem.centered = false;
  const Moments got = problem.run(*make_test_engine(GetParam()));
  EXPECT_EQ(got.covariance, (std::vector<double>{2.25, -3, 0.375, -3, 4, -0.5, 0.375, -0.5, 0.0625}));
  EXPECT_EQ(got.mean, (std::vector<double>{1.5, -2, 0.25}));  // given in either case
}

// Every row twice leaves the moments as they were: the sums double and so does N, both exactly in binary where the
// sums are exact, as for these small whole numbers.
TEST_P(CovarianceOnEngine, IsTheSameForDuplicatedRows) {
  Problem problem(40, 7, false, 0);
  for (std::size_t i = 0; i < problem.x.size(); ++i) problem.x[i] = static_cast<float>(i * 7919 % 23) - 11;
  Problem twice = problem;
  twice.n = 80;
  twice.x.insert(twice.x.end(), problem.x.begin(), problem.x.end());
  const auto engine = make_test_engine(GetParam());
  EXPECT_EQ(twice.run(*engine).covariance, problem.run(*engine).covariance);
}

// Rows that lie apart in memory; what is between them must not count.
TEST_P(CovarianceOnEngine, ReadsAndWritesStridedViews) {
  const std::size_t n = 50, d = 20, stride = 29;
  const Problem problem(n, d, true, 0);
  std::vector<float> x(n * stride, std::numeric_limits<float>::quiet_NaN());
  for (std::size_t i = 0; i < n; ++i) std::copy_n(&problem.x[i * d], d, &x[i * stride]);
  std::vector<double> mean(d), covariance(d * stride, -7);
  make_test_engine(GetParam())
      ->covariance(
          {.x = {x.data(), n, d, stride}, .mean = {mean.data(), d}, .covariance = {covariance.data(), d, d, stride}});
  const Moments want = problem.run(*make_test_engine(GetParam()));
  for (std::size_t a = 0; a < d; ++a)
    for (std::size_t b = 0; b < stride; ++b)
      ASSERT_EQ(covariance[a * stride + b], b < d ? want.covariance[a * d + b] : -7);
}

TEST_P(CovarianceOnEngine, StopsWhenAskedAndReportsProgress) {
  const Problem problem(100, 10, true, 0);
  const auto engine = make_test_engine(GetParam());
  Moments out;
  expect_control_is_honoured([&](const Control* control) { engine->covariance(problem.args(out, control)); });
}

// The engine cuts only long inputs into chunks; here the kernels get uneven ones of a short input.
TEST(CovarianceKernel, AddsUpChunks) {
  const Problem problem(1000, 200, true, 5);
  Moments got;
  const CovarianceArgs args = problem.args(got);
  const std::size_t bytes = cpu::covariance_workspace(1000, 200, 2);
  const Tensor memory = make_engine("cpu")->allocate(DType::u8, {bytes});
  const cpu::Context context{.threads = 2, .workspace = {static_cast<std::byte*>(memory.view().data), bytes}};
  const std::size_t cuts[] = {0, 1, 300, 301, 777, 1000};
  for (int cut = 0; cut < 5; ++cut) cpu::add_to_mean(args, cuts[cut], cuts[cut + 1], context);
  cpu::finish_mean(args, context);
  for (int cut = 0; cut < 5; ++cut) cpu::add_to_covariance(args, cuts[cut], cuts[cut + 1], context);
  cpu::finish_covariance(args, context);
  EXPECT_LE(worst_share(problem, got, problem.run(*make_engine("reference"))), 1.0);
}

TEST(CovarianceConfig, BoundsMemoryAndChunks) {
  for (const std::size_t d : {1, 50, 384, 768, 1024, 4096})
    for (const std::size_t n : {1, 191, 30522, 250000, 10000000}) {
      const auto config = cpu::choose_covariance_config(n, d);
      EXPECT_GE(config.slots, 1u);
      EXPECT_GE(config.chunk_rows, 1u);
      EXPECT_LE(cpu::covariance_workspace(n, d, 2), std::size_t{100} << 20) << n << " x " << d;
    }
}

TEST(CovarianceComparison, SeesAPlantedFault) {
  const Problem problem(65, 200, true, 1000);
  const Moments want = problem.run(*make_engine("reference"));
  Moments got = problem.run(*make_engine("cpu"));
  ASSERT_LE(worst_share(problem, got, want), 1.0);
  got.covariance[196 * 200 + 3] += 1e-12;
  EXPECT_GT(worst_share(problem, got, want), 1.0);
}

std::string complaint(const CovarianceArgs& args) {
  return message_of([&] { make_engine("cpu")->covariance(args); });
}

TEST(CovarianceArguments, NameTheValueThatIsWrong) {
  std::vector<float> x(8);
  std::vector<double> mean(4), covariance(16);
  const CovarianceArgs good{
      .x = {x.data(), 2, 4, 4}, .mean = {mean.data(), 4}, .covariance = {covariance.data(), 4, 4, 4}};
  EXPECT_EQ(complaint(good), "no error");
  CovarianceArgs args = good;
  args.x.rows = 0;
  EXPECT_EQ(complaint(args), "covariance: x is [0, 4], needs at least 1 row and 1 column");
  args = good;
  args.mean.size = 3;
  EXPECT_EQ(complaint(args), "covariance: mean has 3 elements, x has 4 columns");
  args = good;
  args.covariance.rows = 3;
  EXPECT_EQ(complaint(args), "covariance: covariance is [3, 4], needs [4, 4]");
  x[6] = std::numeric_limits<float>::infinity();
  EXPECT_EQ(complaint(good), "covariance: x has inf in row 1, column 2");
}

}  // namespace
}  // namespace lexiscope::testing
