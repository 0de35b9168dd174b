// The grid's force error on maps like those of a run's phases, against all pairs in double, and when which repulsion is
// chosen.
#include <gtest/gtest.h>

#include "kernels/cpu/tsne_config.h"
#include "tests/support/engines.h"
#include "tests/support/tsne.h"

namespace lexiscope::testing {
namespace {

constexpr std::size_t kPoints = 3001;

enum class Phase { start, thrown_out, early, middle, late };

// Positions as a run of that many points has them: the tiny start; the first iterations, which throw a few points far
// out of a core; early exaggeration's dense core in a wide halo; then a disc or ball that grows and falls into groups.
std::vector<float> map_of(Phase phase, std::size_t dimensions) {
  std::mt19937 random(static_cast<unsigned>(phase) + 17);
  std::normal_distribution<float> normal;
  const float radius = std::pow(static_cast<float>(kPoints), 1.0f / static_cast<float>(dimensions)) * 0.6f;
  std::vector<float> groups(60 * dimensions), map(kPoints * dimensions);
  for (float& centre : groups) centre = radius * normal(random) / 2;
  for (std::size_t i = 0; i < kPoints; ++i) {
    const float tail = std::exp(1.2f * normal(random));
    const std::size_t group = random() % 60;
    for (std::size_t c = 0; c < dimensions; ++c) {
      const float g = normal(random);
      float& y = map[i * dimensions + c];
      if (phase == Phase::start) y = 1e-4f * g;
      if (phase == Phase::thrown_out) y = 3e-4f * g * (i % 100 == 0 ? 2000.0f : 1.0f);
      if (phase == Phase::early) y = 0.02f * tail * g * (i % 300 == 0 ? 10.0f : 1.0f);
      if (phase == Phase::middle) y = radius / 3 * g;
      if (phase == Phase::late) y = groups[group * dimensions + c] + radius / 16 * g;
    }
  }
  return map;
}

class Grid : public ::testing::TestWithParam<std::tuple<std::string, std::size_t>> {};

// In 3-D the grids of the first phases have millions of nodes, too many for the emulated engine; its own test has one.
std::vector<Phase> phases_for(std::string_view engine, std::size_t dimensions) {
  if (engine == kEmulated && dimensions == 3) return {Phase::middle, Phase::late};
  return {Phase::start, Phase::thrown_out, Phase::early, Phase::middle, Phase::late};
}

TEST_P(Grid, ForcesErrByAtMostFiveThousandths) {
  const auto [name, dimensions] = GetParam();
  const auto engine = make_test_engine(name), reference = make_engine("reference");
  const auto p = random_affinities(*engine, kPoints, 2, 1);
  const auto plan = engine->plan_tsne({.affinities = &p, .dimensions = dimensions, .repulsion = Repulsion::grid});
  const auto exact = reference->plan_tsne({.affinities = &p, .dimensions = dimensions});
  for (const Phase phase : phases_for(name, dimensions)) {
    const auto map = map_of(phase, dimensions);
    const auto want = gradient_of(*reference, *exact, map, 0), got = gradient_of(*engine, *plan, map, 0);
    EXPECT_LE(relative_error(got.values, want.values), 5e-3) << "phase " << static_cast<int>(phase);
    EXPECT_NEAR(got.normalization / want.normalization, 1, 1e-4) << "phase " << static_cast<int>(phase);
  }
}

// Few points leave nothing to average over: the rounding of one pair's potential and the nodes' places under it count
// in full. What holds for every pair is 5e-2 of its force, or 5e-3 of the largest force that a pair can have, 0.325.
TEST_P(Grid, ServesFewPoints) {
  const auto [name, dimensions] = GetParam();
  const auto engine = make_test_engine(name), reference = make_engine("reference");
  for (const std::size_t n : {2u, 3u, 17u, 129u, 500u})
    for (const float deviation : {1e-4f, 0.5f, 2.0f}) {
      if (name == kEmulated && dimensions == 3 && deviation < 2) continue;  // millions of nodes
      const auto p = random_affinities(*engine, n, 2, 1);
      const auto plan = engine->plan_tsne({.affinities = &p, .dimensions = dimensions, .repulsion = Repulsion::grid});
      const auto exact = reference->plan_tsne({.affinities = &p, .dimensions = dimensions});
      const auto map = random_normal(n * dimensions, static_cast<unsigned>(n), 0, deviation);
      const auto want = gradient_of(*reference, *exact, map, 0), got = gradient_of(*engine, *plan, map, 0);
      double size = 0;
      for (const float g : want.values) size += double(g) * g;
      const double strongest = 0.325 * static_cast<double>(n) / want.normalization / std::sqrt(size);
      EXPECT_LE(relative_error(got.values, want.values), 5e-2 + 5e-3 * strongest)
          << n << " points, deviation " << deviation;
    }
}

TEST_P(Grid, ErrorSeesAPlantedFault) {
  const auto [name, dimensions] = GetParam();
  const auto engine = make_test_engine(name);
  const auto p = random_affinities(*engine, kPoints, 2, 1);
  const auto plan = engine->plan_tsne({.affinities = &p, .dimensions = dimensions});
  auto map = map_of(Phase::late, dimensions);
  const auto want = gradient_of(*engine, *plan, map, 0);
  for (float& y : map) y *= 1.01f;
  EXPECT_GT(relative_error(gradient_of(*engine, *plan, map, 0).values, want.values), 5e-3);
}

INSTANTIATE_TEST_SUITE_P(Engines, Grid,
                         ::testing::Combine(::testing::ValuesIn(engines_under_test()), ::testing::Values(2, 3)),
                         EngineNames());

TEST(TsneConfig, TakesAllPairsOfFewPointsAndAGridForMany) {
  using cpu::choose_tsne_config;
  EXPECT_FALSE(choose_tsne_config(100, 2, {20, 20, 0}, Repulsion::automatic)->grid);
  EXPECT_TRUE(choose_tsne_config(30522, 2, {180, 180, 0}, Repulsion::automatic)->grid->near_field);
  EXPECT_FALSE(choose_tsne_config(30522, 2, {30, 30, 0}, Repulsion::automatic)->grid->near_field);
  EXPECT_TRUE(choose_tsne_config(100, 2, {20, 20, 0}, Repulsion::grid)->grid);
  EXPECT_FALSE(choose_tsne_config(30522, 2, {180, 180, 0}, Repulsion::exact)->grid);
}

TEST(TsneConfig, BoundsTheGrid) {
  using cpu::choose_tsne_config;
  for (const std::size_t dimensions : {2u, 3u}) {
    EXPECT_FALSE(choose_tsne_config(1000, dimensions, {1e15, 1e15, 1e15}, Repulsion::automatic)->grid);
    EXPECT_FALSE(choose_tsne_config(1000, dimensions, {1e15, 1e15, 1e15}, Repulsion::grid));
    for (double side = 1e-30; side < 1e6; side *= 3) {
      const auto config = choose_tsne_config(250000, dimensions, {side, side, side}, Repulsion::automatic);
      if (!config->grid) continue;
      double nodes = 1;
      for (std::size_t axis = 0; axis < dimensions; ++axis) nodes *= 2.0 * config->grid->shape.nodes[axis];
      EXPECT_LE(nodes, static_cast<double>(cpu::kMostGridNodes));
      EXPECT_GE(config->grid->shape.nodes[0], side / config->grid->spacing + cpu::kTsneWindowNodes);
    }
  }
}

TEST(TsneConfig, IsAGridThatGrowsWithTheMap) {
  const auto small = cpu::choose_tsne_config(250000, 2, {200, 200, 0}, Repulsion::automatic);
  const auto large = cpu::choose_tsne_config(250000, 2, {600, 600, 0}, Repulsion::automatic);
  EXPECT_EQ(large, cpu::choose_tsne_config(250000, 2, {600, 600, 0}, Repulsion::automatic));
  EXPECT_NE(small->grid->shape, large->grid->shape);
  EXPECT_LE(large->grid->shape.nodes[0], 2000);
}

}  // namespace
}  // namespace lexiscope::testing
