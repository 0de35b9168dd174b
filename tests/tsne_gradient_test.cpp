// t-SNE's exact gradient and its step against the reference, within bounds derived below; what both repulsions promise
// of few, coincident and far points; a small run from start to end.
#include <gtest/gtest.h>

#include <limits>
#include <tuple>

#include "lexiscope/error.h"
#include "tests/support/engines.h"
#include "tests/support/errors.h"
#include "tests/support/tsne.h"

namespace lexiscope::testing {
namespace {

struct Problem {
  std::size_t n, dimensions;
  std::vector<float> positions;

  Problem(std::size_t n_, std::size_t dimensions_, float deviation)
      : n(n_),
        dimensions(dimensions_),
        positions(random_normal(n * dimensions, static_cast<unsigned>(7 * n + dimensions), 0, deviation)) {}

  SparseMatrix affinities(Engine& engine) const {
    return random_affinities(engine, n, std::min<std::size_t>(n, 21), static_cast<unsigned>(n));
  }

  std::unique_ptr<TsnePlan> plan(Engine& engine, Repulsion repulsion) const {
    const SparseMatrix p = affinities(engine);
    return engine.plan_tsne({.affinities = &p, .dimensions = dimensions, .repulsion = repulsion});
  }

  // Bounds of |error| of every element in f32, u = 2^-24, D dimensions. Each term p q (y_i - y_j) or q^2 (y_i - y_j)
  // rounds at most 2 (D + 3) + 3 <= 15 times; a point's terms are summed in chains no longer than their number, and
  // the sums over lanes and slots add 16 roundings more. Z's q round D + 3 times and are summed in chains of at most
  // 4 * 256 in f32, beyond that in double.
  std::vector<double> bounds(const SparseMatrix& p, double exaggeration) const {
    const auto offsets = p.row_offsets.vector<std::int64_t>();
    std::vector<double> bound(n * dimensions);
    double z = 0;
    const auto q = [&](std::size_t i, std::size_t j) {
      double s = 1;
      for (std::size_t c = 0; c < dimensions; ++c) s += std::pow(difference(i, j, c), 2);
      return 1 / s;
    };
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j) z += i == j ? 0 : q(i, j);
    const double points = static_cast<double>(n), z_roundings = std::min(4 * points, 1024.0) + 6;
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t c = 0; c < dimensions; ++c) {
        double pushed = 0, pulled = 0;
        for (std::size_t j = 0; j < n; ++j) pushed += std::pow(q(i, j), 2) * std::abs(difference(i, j, c)) / z;
        for (auto e = static_cast<std::size_t>(offsets[i]); e < static_cast<std::size_t>(offsets[i + 1]); ++e) {
          const auto j = static_cast<std::size_t>(p.columns.vector<std::int32_t>()[e]);
          pulled += exaggeration * p.values.vector<float>()[e] * q(i, j) * std::abs(difference(i, j, c));
        }
        const auto entries = static_cast<double>(offsets[i + 1] - offsets[i]);
        bound[i * dimensions + c] =
            kUnitF32 * ((points + 31 + z_roundings) * pushed + (entries + 31) * pulled + 3 * (pushed + pulled));
      }
    return bound;
  }

  double difference(std::size_t i, std::size_t j, std::size_t c) const {
    return double(positions[i * dimensions + c]) - double(positions[j * dimensions + c]);
  }
};

double worst_share(const std::vector<float>& got, const std::vector<float>& want, const std::vector<double>& bounds) {
  double worst = 0;
  for (std::size_t i = 0; i < want.size(); ++i) worst = std::max(worst, error_share(got[i], want[i], bounds[i]));
  return worst;
}

using Shape = std::tuple<std::string, std::size_t, std::size_t, float>;

class ExactGradient : public ::testing::TestWithParam<Shape> {};

TEST_P(ExactGradient, AgreesWithTheReference) {
  const auto [name, n, dimensions, deviation] = GetParam();
  const Problem problem(n, dimensions, deviation);
  const auto reference = make_engine("reference"), engine = make_test_engine(name);
  const auto want = gradient_of(*reference, *problem.plan(*reference, Repulsion::exact), problem.positions, 12);
  const auto got = gradient_of(*engine, *problem.plan(*engine, Repulsion::exact), problem.positions, 12);
  EXPECT_LE(worst_share(got.values, want.values, problem.bounds(problem.affinities(*engine), 12)), 1);
  EXPECT_LE(error_share(got.normalization, want.normalization, 1030 * kUnitF32 * want.normalization), 1);
}

INSTANTIATE_TEST_SUITE_P(OddShapes, ExactGradient,
                         ::testing::Combine(::testing::ValuesIn(fast_engines()),
                                            ::testing::Values(2, 3, 17, 31, 33, 63, 65, 127, 129, 500, 1031),
                                            ::testing::Values(2, 3), ::testing::Values(1e-4f, 1.0f, 30.0f)),
                         EngineNames());
INSTANTIATE_TEST_SUITE_P(Emulated, ExactGradient,
                         ::testing::Combine(::testing::ValuesIn(emulated_engines()),
                                            ::testing::Values(2, 33, 65, 129, 500), ::testing::Values(2, 3),
                                            ::testing::Values(1e-4f, 30.0f)),
                         EngineNames());

TEST(ExactGradientComparison, SeesAPlantedFault) {
  const Problem problem(129, 2, 1);
  const auto engine = make_engine("cpu"), reference = make_engine("reference");
  const auto want = gradient_of(*reference, *problem.plan(*reference, Repulsion::exact), problem.positions, 12);
  auto got = gradient_of(*engine, *problem.plan(*engine, Repulsion::exact), problem.positions, 12);
  const auto bounds = problem.bounds(problem.affinities(*engine), 12);
  ASSERT_LE(worst_share(got.values, want.values, bounds), 1);
  *std::max_element(got.values.begin(), got.values.end()) *= 1.001f;
  EXPECT_GT(worst_share(got.values, want.values, bounds), 1);
}

struct Descent {
  std::vector<float> positions, update, gains;

  explicit Descent(std::vector<float> start)
      : positions(std::move(start)), update(positions.size()), gains(positions.size(), 1.0f) {}

  void step(Engine& engine, TsnePlan& plan, std::size_t iterations, float exaggeration, float rate) {
    engine.tsne_step({.plan = &plan,
                      .positions = as_map(positions, plan.dimensions()),
                      .update = as_map(update, plan.dimensions()),
                      .gains = as_map(gains, plan.dimensions()),
                      .iterations = iterations,
                      .exaggeration = exaggeration,
                      .learning_rate = rate});
  }
};

class Step : public ::testing::TestWithParam<Shape> {};

// One iteration at a time from the reference's state. Where the gradient is further from 0 than its bound, its sign,
// and so the gain, is certain: 2 roundings. The update then errs by the rate times gain times the gradient's bound,
// with 6 roundings of its terms, and shortening it multiplies its error by at most 2 and rounds 4 times more; the
// positions take the largest of these errors, in the mean too, and round three times.
TEST_P(Step, FollowsTheReference) {
  const auto [name, n, dimensions, deviation] = GetParam();
  Problem problem(n, dimensions, deviation);
  const auto reference = make_engine("reference"), engine = make_test_engine(name);
  const auto reference_plan = problem.plan(*reference, Repulsion::exact),
             plan = problem.plan(*engine, Repulsion::exact);
  const auto p = problem.affinities(*engine);
  const float rate = static_cast<float>(n) / 4;
  Descent want(problem.positions);
  std::size_t certain = 0;
  for (int iteration = 0; iteration < 4; ++iteration) {
    problem.positions = want.positions;
    const auto bounds = problem.bounds(p, 4);
    const auto gradient = gradient_of(*reference, *reference_plan, want.positions, 4).values;
    Descent got = want;
    const auto before = want;
    want.step(*reference, *reference_plan, 1, 4, rate);
    got.step(*engine, *plan, 1, 4, rate);

    double worst_move = 0;
    std::vector<double> update_bound(n * dimensions);
    std::vector<bool> certain_point(n, true);
    for (std::size_t k = 0; k < n * dimensions; ++k) {
      if (std::abs(gradient[k]) <= bounds[k]) certain_point[k / dimensions] = false;
      const double descent = rate * want.gains[k] * std::abs(gradient[k]);
      update_bound[k] = rate * want.gains[k] * bounds[k] + 6 * kUnitF32 * (descent + 0.8 * std::abs(before.update[k]));
    }
    for (std::size_t i = 0; i < n; ++i) {
      double point_bound = 0;
      for (std::size_t c = 0; c < dimensions; ++c) point_bound += update_bound[i * dimensions + c];
      worst_move = std::max(worst_move, 2 * point_bound + 4 * kUnitF32 * 5);
      if (!certain_point[i]) {
        worst_move = std::numeric_limits<double>::infinity();
        continue;
      }
      for (std::size_t k = i * dimensions; k < (i + 1) * dimensions; ++k, ++certain) {
        EXPECT_NEAR(got.gains[k], want.gains[k], 3 * kUnitF32 * (want.gains[k] + 0.3)) << "iteration " << iteration;
        EXPECT_NEAR(got.update[k], want.update[k], 2 * point_bound + 4 * kUnitF32 * std::abs(want.update[k]));
      }
    }
    for (std::size_t k = 0; k < n * dimensions; ++k)
      EXPECT_NEAR(got.positions[k], want.positions[k],
                  2 * worst_move + 3 * kUnitF32 * (std::abs(want.positions[k]) + deviation + 5));
  }
  EXPECT_GT(certain, 2 * n * dimensions) << "too few gradients further from 0 than their bounds";
}

INSTANTIATE_TEST_SUITE_P(OddShapes, Step,
                         ::testing::Combine(::testing::ValuesIn(fast_engines()), ::testing::Values(2, 3, 17, 65, 300),
                                            ::testing::Values(2, 3), ::testing::Values(0.01f, 3.0f)),
                         EngineNames());
INSTANTIATE_TEST_SUITE_P(Emulated, Step,
                         ::testing::Combine(::testing::ValuesIn(emulated_engines()), ::testing::Values(3, 65, 200),
                                            ::testing::Values(2, 3), ::testing::Values(3.0f)),
                         EngineNames());

class Tsne : public ::testing::TestWithParam<std::string> {};
class LongTsne : public ::testing::TestWithParam<std::string> {};  // what would take the emulated engine minutes

TEST_P(Tsne, ShortensLongStepsAndKeepsTheMean) {
  const auto engine = make_test_engine(GetParam());
  const Problem problem(65, 2, 1);
  Descent run(problem.positions);
  run.step(*engine, *problem.plan(*engine, Repulsion::exact), 1, 12, 1e6f);
  double mean = 0;
  for (std::size_t i = 0; i < 65; ++i) {
    EXPECT_NEAR(std::hypot(run.update[2 * i], run.update[2 * i + 1]), 5, 1e-5);
    mean += run.positions[2 * i] / 65;
  }
  EXPECT_NEAR(mean, 0, 1e-5);
}

TEST_P(Tsne, TreatsTwoZeroesAsTheSameSign) {  // coincident points: gradient and update stay 0, gains shrink
  const auto engine = make_test_engine(GetParam());
  const Problem problem(5, 2, 1);
  Descent run(std::vector<float>(10, 0.0f));
  run.step(*engine, *problem.plan(*engine, Repulsion::exact), 2, 12, 1);
  for (std::size_t k = 0; k < 10; ++k) {
    EXPECT_EQ(run.positions[k], 0);
    EXPECT_FLOAT_EQ(run.gains[k], (0.81f * 0.8f) + 0.01f);
  }
}

void expect_iterations_to_be_one_at_a_time(Engine& engine, const Problem& problem) {
  for (const Repulsion repulsion : {Repulsion::exact, Repulsion::grid}) {
    Descent together(problem.positions), apart(problem.positions);
    const auto plan = problem.plan(engine, repulsion);
    together.step(engine, *plan, 5, 12, 10);
    for (int k = 0; k < 5; ++k) apart.step(engine, *plan, 1, 12, 10);
    EXPECT_EQ(together.positions, apart.positions);
    EXPECT_EQ(together.gains, apart.gains);
  }
}

TEST_P(Tsne, SeveralIterationsAreOneAtATime) {
  const auto engine = make_test_engine(GetParam());
  expect_iterations_to_be_one_at_a_time(*engine, Problem(129, 2, 1e-4f));
  expect_iterations_to_be_one_at_a_time(*engine, Problem(65, 3, 2));
}

TEST_P(LongTsne, SeveralIterationsAreOneAtATime) {
  expect_iterations_to_be_one_at_a_time(*make_test_engine(GetParam()), Problem(129, 3, 1e-4f));
}

TEST_P(LongTsne, GivesTheSameBitsForAnyNumberOfThreads) {
  for (const std::size_t dimensions : {2u, 3u})
    for (const Repulsion repulsion : {Repulsion::exact, Repulsion::grid}) {
      const Problem problem(2000, dimensions, dimensions == 2 ? 20.0f : 4.0f);
      std::vector<Descent> runs;
      for (const int threads : {1, 2, 3}) {
        const auto engine = make_test_engine(GetParam(), threads);
        runs.emplace_back(problem.positions).step(*engine, *problem.plan(*engine, repulsion), 3, 1, 2500);
      }
      EXPECT_EQ(runs[0].positions, runs[1].positions);
      EXPECT_EQ(runs[0].positions, runs[2].positions);
    }
}

TEST_P(Tsne, HasNoForceBetweenCoincidentPoints) {
  const auto engine = make_test_engine(GetParam());
  for (const std::size_t dimensions : {2u, 3u})
    for (const Repulsion repulsion : {Repulsion::exact, Repulsion::grid}) {
      const Problem problem(100, dimensions, 1);
      const auto plan = problem.plan(*engine, repulsion);
      const auto got = gradient_of(*engine, *plan, std::vector<float>(100 * dimensions, 3.5f), 1);
      EXPECT_NEAR(got.normalization, 100 * 99, 1e-2);
      for (const float g : got.values) EXPECT_NEAR(g, 0, 1e-12);
    }
}

TEST_P(Tsne, BoundsTheGridOfAMapWithAPointFarAway) {
  const auto engine = make_test_engine(GetParam()), reference = make_engine("reference");
  Problem problem(300, 2, 1);
  problem.positions[7] = 1e4f;
  const auto want = gradient_of(*reference, *problem.plan(*reference, Repulsion::exact), problem.positions, 1);
  const auto got = gradient_of(*engine, *problem.plan(*engine, Repulsion::automatic), problem.positions, 1);
  EXPECT_LE(relative_error(got.values, want.values), 1e-5);
  problem.positions[6] = problem.positions[7] = 1e6f;
  const auto plan = problem.plan(*engine, Repulsion::grid);
  try {
    gradient_of(*engine, *plan, problem.positions, 1);
    FAIL() << "made a grid of a map that is a million wide";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_NE(std::string(error.what()).find("repulsion is grid, but the map's sides are 1"), std::string::npos)
        << error.what();
  }
  problem.positions[6] = problem.positions[7] = 2;  // the plan is as good as new
  EXPECT_NO_THROW(gradient_of(*engine, *plan, problem.positions, 1));
}

// Three groups of points with affinities inside each: after a run, a point's own group is nearer than the others.
TEST_P(LongTsne, SeparatesGroupsAndLowersTheDivergence) {
  const auto engine = make_test_engine(GetParam());
  constexpr std::size_t kPoints = 500;
  std::map<std::pair<std::size_t, std::size_t>, double> pairs;
  std::mt19937 random(3);
  for (std::size_t i = 0; i < kPoints; ++i)
    for (int k = 0; k < 12; ++k) {
      const std::size_t j = (i + 3 * (random() % 160)) % (kPoints - kPoints % 3);
      if (j != i && j % 3 == i % 3) pairs[{std::min(i, j), std::max(i, j)}] = 1;
    }
  const SparseMatrix p = make_affinities(*engine, kPoints, pairs);
  for (const std::size_t dimensions : {2u, 3u})
    for (const Repulsion repulsion : {Repulsion::automatic, Repulsion::grid}) {
      const auto plan = engine->plan_tsne({.affinities = &p, .dimensions = dimensions, .repulsion = repulsion});
      Descent run(random_normal(kPoints * dimensions, 11, 0, 1e-4f));
      const auto divergence = [&] {
        return engine->tsne_kl({.affinities = &p, .positions = as_map(run.positions, dimensions)});
      };
      const double start = divergence();
      run.step(*engine, *plan, 100, 12, kPoints / 12.0f);
      run.step(*engine, *plan, 150, 1, kPoints);
      EXPECT_LT(divergence(), start - 1);
      double centre[3][3] = {}, spread = 0, nearest = 1e9;
      for (std::size_t i = 0; i < kPoints; ++i)
        for (std::size_t c = 0; c < dimensions; ++c)
          centre[i % 3][c] += run.positions[i * dimensions + c] / (kPoints / 3.0);
      const auto distance = [&](std::size_t i, std::size_t group) {
        double squared = 0;
        for (std::size_t c = 0; c < dimensions; ++c)
          squared += std::pow(run.positions[i * dimensions + c] - centre[group][c], 2);
        return std::sqrt(squared);
      };
      std::size_t at_home = 0;
      for (std::size_t i = 0; i < kPoints; ++i) {
        spread = distance(i, i % 3);
        nearest = std::min(distance(i, (i + 1) % 3), distance(i, (i + 2) % 3));
        at_home += spread < nearest;
      }
      EXPECT_GE(at_home, kPoints * 98 / 100);
    }
}

INSTANTIATE_TEST_SUITE_P(Engines, Tsne, ::testing::ValuesIn(engines_under_test()), EngineNames());
INSTANTIATE_TEST_SUITE_P(Engines, LongTsne, ::testing::ValuesIn(fast_engines()), EngineNames());

TEST(TsneArguments, NameTheValueThatIsWrong) {
  const auto engine = make_engine("cpu"), reference = make_engine("reference");
  const Problem problem(17, 2, 1);
  SparseMatrix p = problem.affinities(*engine);
  EXPECT_EQ(message_of([&] { engine->plan_tsne({.affinities = &p, .dimensions = 4}); }),
            "plan_tsne: dimensions is 4, needs to be 2 or 3");
  EXPECT_EQ(message_of([&] { engine->plan_tsne({}); }), "plan_tsne: affinities is null");
  const auto plan = engine->plan_tsne({.affinities = &p});
  std::vector<float> map = problem.positions, out(34), short_map(32);
  EXPECT_EQ(message_of([&] {
              reference->tsne_gradient({.plan = plan.get(), .positions = as_map(map, 2), .gradient = as_map(out, 2)});
            }),
            "tsne_gradient: plan belongs to the engine \"cpu\", this is \"reference\"");
  EXPECT_EQ(
      message_of([&] {
        engine->tsne_gradient({.plan = plan.get(), .positions = as_map(short_map, 2), .gradient = as_map(out, 2)});
      }),
      "tsne_gradient: positions is [16, 2] with a stride of 2, needs to be [17, 2] and dense");
  EXPECT_EQ(message_of([&] { gradient_of(*engine, *plan, out, std::numeric_limits<float>::infinity()); }),
            "tsne_gradient: exaggeration is inf, needs to be finite");
  map[5] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(message_of([&] { gradient_of(*engine, *plan, map, 1); }),
            "tsne_gradient: positions has nan in row 2, column 1");
  map[5] = -2e15f;
  EXPECT_EQ(message_of([&] { gradient_of(*engine, *plan, map, 1); }),
            "tsne_gradient: positions has -2000000000000000 in row 2, column 1, needs at most 1000000000000000 in "
            "magnitude");
  Descent run(problem.positions);
  EXPECT_EQ(message_of([&] { run.step(*engine, *plan, 1, 1, 0); }),
            "tsne_step: learning_rate is 0, needs to be positive and finite");
  p.columns.vector<std::int32_t>()[0] = 17;
  EXPECT_EQ(
      message_of([&] { engine->plan_tsne({.affinities = &p}); }),
      "plan_tsne: affinities.columns has 17 at entry 0 of row 0, needs ascending columns of 0 to 16 other than the "
      "row");
  p.row_offsets.vector<std::int64_t>()[0] = 1;
  EXPECT_EQ(message_of([&] { engine->plan_tsne({.affinities = &p}); }),
            "plan_tsne: affinities.row_offsets begins with 1, needs 0");
}

}  // namespace
}  // namespace lexiscope::testing
