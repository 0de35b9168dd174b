// The divergence of every engine against the reference, within a bound derived below.
#include <gtest/gtest.h>

#include <tuple>

#include "lexiscope/error.h"
#include "tests/support/engines.h"
#include "tests/support/errors.h"
#include "tests/support/tsne.h"

namespace lexiscope::testing {
namespace {

// KL = sum p (log p + log s) + log Z in double, u = 2^-53. Z adds n^2 positive terms of relative error at most 12 u, in
// chains no longer than n^2: n^2 u at most in log Z. The logarithms of p and s err by 1 u each, and their arguments by
// less than 8 u; the sum over the entries is a chain of at most as many terms.
double bound(const SparseMatrix& p, double divergence, std::size_t n) {
  const auto pairs = static_cast<double>(n * n), entries = static_cast<double>(p.entries());
  double terms = 0;
  const auto values = p.values.vector<float>();
  for (std::size_t e = 0; e < values.size; ++e) terms += values[e] * (std::abs(std::log(values[e])) + 80);  // s < 1e31
  return kUnitF64 * ((pairs + 12) + (entries + 20) * terms + 8 * std::abs(divergence));
}

class TsneKl : public ::testing::TestWithParam<std::tuple<std::string, std::size_t, std::size_t, float>> {};

TEST_P(TsneKl, AgreesWithTheReference) {
  const auto [name, n, dimensions, deviation] = GetParam();
  const auto engine = make_test_engine(name), reference = make_engine("reference");
  const auto p = random_affinities(*engine, n, std::min<std::size_t>(n, 20), 5);
  auto positions = random_normal(n * dimensions, 6, 1, deviation);
  const double want = reference->tsne_kl({.affinities = &p, .positions = as_map(positions, dimensions)});
  const double got = engine->tsne_kl({.affinities = &p, .positions = as_map(positions, dimensions)});
  EXPECT_LE(error_share(got, want, bound(p, want, n)), 1) << got << " " << want;
}

INSTANTIATE_TEST_SUITE_P(OddShapes, TsneKl,
                         ::testing::Combine(::testing::ValuesIn(engines_under_test()),
                                            ::testing::Values(2, 3, 17, 31, 33, 63, 65, 127, 129, 500),
                                            ::testing::Values(2, 3), ::testing::Values(1e-4f, 1.0f, 1e3f, 1e14f)),
                         EngineNames());

TEST(TsneKlComparison, SeesAPlantedFault) {
  const auto engine = make_engine("cpu"), reference = make_engine("reference");
  const auto p = random_affinities(*engine, 129, 20, 5);
  auto positions = random_normal(258, 6);
  const double want = reference->tsne_kl({.affinities = &p, .positions = as_map(positions, 2)});
  positions[200] *= 1.00001f;
  const double got = engine->tsne_kl({.affinities = &p, .positions = as_map(positions, 2)});
  EXPECT_GT(error_share(got, want, bound(p, want, 129)), 1);
}

TEST(TsneKl, IsLogOfPairsForCoincidentPointsWithEqualAffinities) {
  const auto engine = make_engine("cpu");
  const auto p = make_affinities(*engine, 3, {{{0, 1}, 1.0}});  // p = 1/2 on two of six pairs, q = 1/6
  std::vector<float> positions(6, 2.0f);
  EXPECT_NEAR(engine->tsne_kl({.affinities = &p, .positions = as_map(positions, 2)}), std::log(3.0), 1e-15);
}

TEST(TsneKl, GivesTheSameBitsForAnyNumberOfThreads) {
  auto positions = random_normal(3000, 4);
  std::vector<double> values;
  for (const int threads : {1, 2, 3}) {
    const auto engine = make_engine("cpu", {.threads = threads});
    const auto p = random_affinities(*engine, 1500, 20, 5);
    values.push_back(engine->tsne_kl({.affinities = &p, .positions = as_map(positions, 2)}));
  }
  EXPECT_EQ(values[0], values[1]);
  EXPECT_EQ(values[0], values[2]);
}

TEST(TsneKl, StopsAndReports) {
  const auto engine = make_engine("cpu");
  const auto p = random_affinities(*engine, 100, 20, 5);
  auto positions = random_normal(200, 4);
  double share = 0;
  std::stop_source source;
  const Control control{.stop = source.get_token(), .progress = [&](double done) { share = done; }};
  engine->tsne_kl({.affinities = &p, .positions = as_map(positions, 2), .control = &control});
  EXPECT_EQ(share, 1);
  source.request_stop();
  try {
    engine->tsne_kl({.affinities = &p, .positions = as_map(positions, 2), .control = &control});
    FAIL() << "ran on";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCancelled);
  }
}

TEST(TsneKlArguments, NameTheValueThatIsWrong) {
  const auto engine = make_engine("cpu");
  const auto p = random_affinities(*engine, 17, 4, 5);
  std::vector<float> map(34), wide(68), few(32);
  EXPECT_EQ(message_of([&] { engine->tsne_kl({.affinities = &p, .positions = as_map(wide, 4)}); }),
            "tsne_kl: positions has 4 columns, needs 2 or 3");
  EXPECT_EQ(message_of([&] { engine->tsne_kl({.affinities = &p, .positions = as_map(few, 2)}); }),
            "tsne_kl: positions has 16 rows, affinities has 17");
  std::fill_n(p.values.vector<float>().data, p.entries(), 0.0f);
  EXPECT_EQ(message_of([&] { engine->tsne_kl({.affinities = &p, .positions = as_map(map, 2)}); }),
            "tsne_kl: affinities has no positive value among " + std::to_string(p.entries()) + " entries");
  p.values.vector<float>()[0] = -1;
  EXPECT_EQ(message_of([&] { engine->tsne_kl({.affinities = &p, .positions = as_map(map, 2)}); }),
            "tsne_kl: affinities.values has -1 in row 0, column 1, needs a finite value that is not negative");
}

}  // namespace
}  // namespace lexiscope::testing
