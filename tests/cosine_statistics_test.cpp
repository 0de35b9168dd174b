// The cosine statistics of every engine against the reference, which goes over all pairs, within bounds derived below.
#include "kernels/cpu/cosine_statistics.h"

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

struct Results {
  CosineStatistics statistics;
  std::vector<float> norms;
  std::vector<double> mean;
};

struct Problem {
  std::size_t n, d, m;
  std::vector<float> x;
  std::vector<double> directions;

  // Directions need not be eigenvectors to be summed over: random unit rows.
  Problem(std::size_t n_, std::size_t d_, std::size_t m_, float offset, float scale) : n(n_), d(d_), m(m_) {
    const auto seed = static_cast<unsigned>(n * 1009 + d * 31 + m);
    x = random_normal(n * d, seed, offset * scale, scale);
    const auto values = random_normal(m * d, seed + 1);
    for (std::size_t j = 0; j < m; ++j) {
      double squares = 0;
      for (std::size_t a = 0; a < d; ++a) squares += std::pow(values[j * d + a], 2);
      for (std::size_t a = 0; a < d; ++a) directions.push_back(values[j * d + a] / std::sqrt(squares));
    }
  }

  CosineStatisticsArgs args(Results& out, const Control* control = nullptr) const {
    out = {.statistics = {}, .norms = std::vector<float>(n, -7), .mean = std::vector<double>(d, -7)};
    CosineStatisticsArgs result{
        .x = {x.data(), n, d, d}, .norms = {out.norms.data(), n}, .mean = {out.mean.data(), d}, .control = control};
    if (m > 0) result.directions = {directions.data(), m, d, d};
    return result;
  }
  Results run(Engine& engine) const {
    Results out;
    out.statistics = engine.cosine_statistics(args(out));
    return out;
  }
};

// In units of u = 2^-53 unless said otherwise. A sum of d or n values rounds less than d or n times, relative to the
// sum of magnitudes; two engines err, hence every factor 2.
class Bounds {
 public:
  explicit Bounds(const Problem& problem) : n_(double(problem.n)), d_(double(problem.d)) {
    mean_.resize(problem.d);
    unit_.resize(problem.d);
    for (std::size_t i = 0; i < problem.n; ++i) {
      double squares = 0;
      for (std::size_t a = 0; a < problem.d; ++a) squares += std::pow(problem.x[i * problem.d + a], 2);
      for (std::size_t a = 0; a < problem.d; ++a) {
        const double magnitude = std::abs(problem.x[i * problem.d + a]);
        mean_[a] += magnitude / n_;
        if (squares > 0) unit_[a] += magnitude / std::sqrt(squares);
      }
      for (std::size_t j = 0; j < problem.m; ++j) {
        double terms = 0;
        for (std::size_t a = 0; a < problem.d; ++a)
          terms += std::abs(problem.x[i * problem.d + a] * problem.directions[j * problem.d + a]);
        largest_exponent_ = std::max(largest_exponent_, terms);
      }
    }
  }

  // Half the d + 1 roundings of the squared norm, and its root; then one to f32.
  double norm(double value) const { return 2 * ((d_ / 2 + 2) * kUnitF64 + kUnitF32) * value; }
  double mean_norm(double value) const { return 2 * (d_ / 2 + 3 + n_) * kUnitF64 * value; }
  double mean(std::size_t a) const { return 2 * (n_ + 1) * kUnitF64 * mean_[a]; }
  double norm_of_mean(double value) const {
    double squares = 0;
    for (std::size_t a = 0; a < mean_.size(); ++a) squares += std::pow(mean(a), 2);
    return std::sqrt(squares) + 2 * (d_ + 2) * kUnitF64 * value;
  }
  // Over the pairs: n (n - 1) / 2 cosines summed, each off by 2 d + 4. In closed form: each component U_a of the sum
  // of unit rows is off by e_a = n + d / 2 + 5 times the sum of its magnitudes, hence its square by
  // 2 |U_a| e_a + e_a^2, |U_a| being at most that sum; squares and the subtraction round d + 3 times.
  double mean_cosine() const {
    const double pairs = n_ * (n_ - 1);
    double closed = 0;
    for (const double sum : unit_) {
      const double error = (n_ + d_ / 2 + 5) * kUnitF64;
      closed += sum * sum * (2 * error + error * error + (d_ + 3) * kUnitF64);
    }
    return pairs == 0 ? 0 : (closed + n_ * kUnitF64) / pairs + (pairs / 2 + 2 * d_ + 4) * kUnitF64;
  }
  // log Z moves as far as its exponents at most: d + 1 roundings and the subtraction of the largest, 2 more, relative
  // to the largest sum of magnitudes E, and 1 more for the logarithm added to it; its terms' exponentials and their
  // sum round n + 8 times (a rescaling for every 48 rows included), the logarithm of at most log n twice. Isotropy is
  // the exponential of a difference of two.
  double isotropy(double value) const {
    const double log_z = ((d_ + 4) * largest_exponent_ + n_ + 8 + 2 * std::log(n_)) * kUnitF64;
    return 4 * log_z * value + 1e-300;
  }

 private:
  double n_, d_, largest_exponent_ = 0;
  std::vector<double> mean_, unit_;  // sums of magnitudes
};

double worst_share(const Problem& problem, const Results& got, const Results& want) {
  const Bounds bounds(problem);
  const CosineStatistics &g = got.statistics, &w = want.statistics;
  double worst = std::max({error_share(g.mean_norm, w.mean_norm, bounds.mean_norm(w.mean_norm)),
                           error_share(g.norm_of_mean, w.norm_of_mean, bounds.norm_of_mean(w.norm_of_mean)),
                           error_share(g.mean_cosine, w.mean_cosine, bounds.mean_cosine())});
  if (problem.m > 0) worst = std::max(worst, error_share(g.isotropy, w.isotropy, bounds.isotropy(w.isotropy)));
  for (std::size_t i = 0; i < problem.n; ++i)
    worst = std::max(worst, error_share(got.norms[i], want.norms[i], bounds.norm(want.norms[i])));
  for (std::size_t a = 0; a < problem.d; ++a)
    worst = std::max(worst, error_share(got.mean[a], want.mean[a], bounds.mean(a)));
  return worst;
}

class CosineStatisticsOf
    : public ::testing::TestWithParam<std::tuple<std::string, std::size_t, std::size_t, std::size_t, float, float>> {};

TEST_P(CosineStatisticsOf, AgreesWithTheReference) {
  const auto [engine, n, d, m, offset, scale] = GetParam();
  const Problem problem(n, d, m, offset, scale);
  const Results want = problem.run(*make_engine("reference"));
  const Results got = problem.run(*make_test_engine(engine));
  EXPECT_LE(worst_share(problem, got, want), 1.0);
  EXPECT_EQ(std::isnan(got.statistics.isotropy), m == 0);
}

// At a scale of 1e4 exp(c . x) itself would overflow.
INSTANTIATE_TEST_SUITE_P(OddShapes, CosineStatisticsOf,
                         ::testing::Combine(::testing::ValuesIn(fast_engines()),
                                            ::testing::Values(1, 2, 3, 17, 65, 500),
                                            ::testing::Values(1, 2, 3, 17, 31, 65, 129),
                                            ::testing::Values(0, 1, 25, 97), ::testing::Values(0.0f, 0.5f),
                                            ::testing::Values(0.05f, 1e4f)),
                         EngineNames());
INSTANTIATE_TEST_SUITE_P(Emulated, CosineStatisticsOf,
                         ::testing::Combine(::testing::ValuesIn(emulated_engines()), ::testing::Values(1, 2, 65, 300),
                                            ::testing::Values(1, 3, 129), ::testing::Values(0, 1, 97),
                                            ::testing::Values(0.5f), ::testing::Values(0.05f, 1e4f)),
                         EngineNames());

class CosineStatisticsOnEngine : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Engines, CosineStatisticsOnEngine, ::testing::ValuesIn(test_engines()), EngineNames());

TEST_P(CosineStatisticsOnEngine, GivesTheSameBitsForAnyThreads) {
  const Problem problem(701, 65, 33, 0.5f, 1);
  const Results once = problem.run(*make_test_engine(GetParam(), 1));
  for (const int threads : {2, 3}) {
    const Results again = problem.run(*make_test_engine(GetParam(), threads));
    EXPECT_EQ(again.norms, once.norms);
    EXPECT_EQ(again.mean, once.mean);
    EXPECT_EQ(again.statistics.mean_norm, once.statistics.mean_norm);
    EXPECT_EQ(again.statistics.norm_of_mean, once.statistics.norm_of_mean);
    EXPECT_EQ(again.statistics.mean_cosine, once.statistics.mean_cosine);
    EXPECT_EQ(again.statistics.isotropy, once.statistics.isotropy);
  }
}

// Worked by hand: rows (3, 4), (0, 0) and (-4, 3), along the axes.
TEST_P(CosineStatisticsOnEngine, GivesWhatPaperGives) {
  Problem problem(3, 2, 2, 0, 1);
  problem.x = {3, 4, 0, 0, -4, 3};
  problem.directions = {1, 0, 0, 1};
  const Results got = problem.run(*make_test_engine(GetParam()));
  EXPECT_EQ(got.norms, (std::vector<float>{5, 0, 5}));
  EXPECT_DOUBLE_EQ(got.statistics.mean_norm, 10.0 / 3);
  EXPECT_DOUBLE_EQ(got.statistics.norm_of_mean, std::sqrt(1 + 49) / 3);
  EXPECT_NEAR(got.statistics.mean_cosine, 0, 1e-15);  // (3, 4) . (-4, 3) = 0; the zero row counts as 0
  const double z[] = {std::exp(3) + 1 + std::exp(-4), std::exp(-3) + 1 + std::exp(4), std::exp(4) + 1 + std::exp(3),
                      std::exp(-4) + 1 + std::exp(-3)};
  EXPECT_NEAR(got.statistics.isotropy, *std::min_element(z, z + 4) / *std::max_element(z, z + 4), 1e-15);
}

TEST_P(CosineStatisticsOnEngine, HasDefinedAnswersAtTheEdges) {
  const auto engine = make_test_engine(GetParam());
  const CosineStatistics one = Problem(1, 3, 2, 1, 1).run(*engine).statistics;
  EXPECT_EQ(one.mean_cosine, 0);
  EXPECT_DOUBLE_EQ(one.mean_norm, one.norm_of_mean);

  Problem zeros(5, 4, 4, 0, 1);
  std::fill(zeros.x.begin(), zeros.x.end(), 0.0f);
  const CosineStatistics zero = zeros.run(*engine).statistics;
  EXPECT_EQ(zero.mean_norm, 0);
  EXPECT_EQ(zero.mean_cosine, 0);
  EXPECT_EQ(zero.isotropy, 1);

  Problem same(50, 3, 0, 0, 1);  // duplicates: every pair's cosine is 1
  for (std::size_t i = 3; i < same.x.size(); ++i) same.x[i] = same.x[i - 3];
  EXPECT_NEAR(same.run(*engine).statistics.mean_cosine, 1, 1e-12);

  Problem opposite(2, 3, 0, 0, 1);
  for (std::size_t a = 0; a < 3; ++a) opposite.x[3 + a] = -opposite.x[a];
  EXPECT_NEAR(opposite.run(*engine).statistics.mean_cosine, -1, 1e-15);
}

TEST_P(CosineStatisticsOnEngine, LeavesOutWhatIsNotAskedFor) {
  const Problem problem(20, 5, 3, 0, 1);
  const auto engine = make_test_engine(GetParam());
  const Results whole = problem.run(*engine);
  const CosineStatistics some = engine->cosine_statistics({.x = {problem.x.data(), 20, 5, 5}});
  EXPECT_EQ(some.mean_cosine, whole.statistics.mean_cosine);
  EXPECT_EQ(some.norm_of_mean, whole.statistics.norm_of_mean);
  EXPECT_TRUE(std::isnan(some.isotropy));
}

TEST_P(CosineStatisticsOnEngine, StopsWhenAskedAndReportsProgress) {
  const Problem problem(100, 10, 5, 0, 1);
  const auto engine = make_test_engine(GetParam());
  Results out;
  expect_control_is_honoured([&](const Control* control) { engine->cosine_statistics(problem.args(out, control)); });
}

// The engine cuts only long inputs into chunks; here the kernels get uneven ones of a short input.
TEST(CosineStatisticsKernel, AddsUpChunks) {
  const Problem problem(500, 33, 30, 0.5f, 1);
  Results got;
  const CosineStatisticsArgs args = problem.args(got);
  const std::size_t bytes = cpu::cosine_statistics_workspace(500, 33, 30, 2);
  const Tensor memory = make_engine("cpu")->allocate(DType::u8, {bytes});
  const cpu::Context context{.threads = 2, .workspace = {static_cast<std::byte*>(memory.view().data), bytes}};
  cpu::start_cosine_statistics(args, context);
  const std::size_t cuts[] = {0, 1, 100, 333, 500};
  for (int cut = 0; cut < 4; ++cut) cpu::add_to_cosine_statistics(args, cuts[cut], cuts[cut + 1], context);
  got.statistics = cpu::finish_cosine_statistics(args, context);
  EXPECT_LE(worst_share(problem, got, problem.run(*make_engine("reference"))), 1.0);
}

TEST(CosineStatisticsConfig, BoundsMemory) {
  for (const std::size_t d : {1, 50, 384, 4096})
    for (const std::size_t n : {1, 30522, 10000000}) {
      const auto config = cpu::choose_cosine_statistics_config(n, d, d);
      EXPECT_GE(config.slots, 1u);
      EXPECT_GE(config.chunk_rows, 1u);
      EXPECT_LE(cpu::cosine_statistics_workspace(n, d, d, 2), 8 * d * d + (std::size_t{24} << 20)) << n << " x " << d;
    }
}

TEST(CosineStatisticsComparison, SeesAPlantedFault) {
  const Problem problem(65, 33, 25, 0.5f, 1);
  const Results want = problem.run(*make_engine("reference")), right = problem.run(*make_engine("cpu"));
  ASSERT_LE(worst_share(problem, right, want), 1.0);
  Results got = right;
  got.statistics.mean_cosine += 1e-11;
  EXPECT_GT(worst_share(problem, got, want), 1.0);
  got = right;
  got.statistics.isotropy *= 1 + 1e-10;
  EXPECT_GT(worst_share(problem, got, want), 1.0);
  got = right;
  got.norms[64] *= 1.000001f;
  EXPECT_GT(worst_share(problem, got, want), 1.0);
}

std::string complaint(const CosineStatisticsArgs& args) {
  return message_of([&] { make_engine("cpu")->cosine_statistics(args); });
}

TEST(CosineStatisticsArguments, NameTheValueThatIsWrong) {
  Problem problem(5, 4, 3, 0, 1);
  Results out;
  const CosineStatisticsArgs good = problem.args(out);
  EXPECT_EQ(complaint(good), "no error");
  CosineStatisticsArgs args = good;
  args.x.rows = 0;
  EXPECT_EQ(complaint(args), "cosine_statistics: x is [0, 4], needs at least 1 row and 1 column");
  args = good;
  args.directions.columns = 3;
  EXPECT_EQ(complaint(args), "cosine_statistics: directions is [3, 3], needs at least 1 row and the 4 columns of x");
  args = good;
  args.norms.size = 4;
  EXPECT_EQ(complaint(args), "cosine_statistics: norms has 4 elements, x has 5 rows");
  args = good;
  args.mean.size = 5;
  EXPECT_EQ(complaint(args), "cosine_statistics: mean has 5 elements, x has 4 columns");
  problem.x[9] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(complaint(good), "cosine_statistics: x has nan in row 2, column 1");
}

}  // namespace
}  // namespace lexiscope::testing
