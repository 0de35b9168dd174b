// Nearest neighbours of every engine: each reported distance against the pair's distance in double, and no point left
// out that is nearer, on clouds that strain the codes, the ties and the range of f32.
#include "kernels/cpu/neighbors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "lexiscope/engine.h"
#include "lexiscope/error.h"
#include "tests/support/compare.h"
#include "tests/support/engines.h"

namespace lexiscope::testing {
namespace {

enum class Cloud { normal, clustered, duplicates, equal, tiny, huge, mixed_scales, constant_columns, lattice, zeros };

std::string name_of(Cloud cloud) {
  constexpr const char* kNames[] = {"normal", "clustered",    "duplicates",       "equal",   "tiny",
                                    "huge",   "mixed_scales", "constant_columns", "lattice", "zeros"};
  return kNames[static_cast<std::size_t>(cloud)];
}

std::vector<float> make_cloud(Cloud cloud, std::size_t rows, std::size_t d, unsigned seed) {
  auto x = random_normal(rows * d, seed);
  std::mt19937 random(seed + 1);
  for (std::size_t i = 0; i < rows; ++i) {
    float* row = x.data() + i * d;
    for (std::size_t a = 0; a < d; ++a) switch (cloud) {
        case Cloud::normal:
          break;
        case Cloud::clustered:  // seven clusters, tight and far apart
          row[a] = row[a] * 1e-3f + 100 * static_cast<float>((i % 7 + a) % 5);
          break;
        case Cloud::duplicates:
          row[a] = x[i / 3 * d + a];
          break;
        case Cloud::equal:
          row[a] = 0.3f;
          break;
        case Cloud::tiny:
          row[a] *= 1e-20f;
          break;
        case Cloud::huge:
          row[a] *= 1e15f;
          break;
        case Cloud::mixed_scales:  // near 1 beside 1e-30, where squares underflow
          row[a] *= i % 2 == 0 ? 1.0f : 1e-30f;
          break;
        case Cloud::constant_columns:
          if (a % 3 != 1) row[a] = 1e4f;
          break;
        case Cloud::lattice:
          row[a] = static_cast<float>(random() % 2);
          break;
        case Cloud::zeros:
          if (i % 4 == 1) row[a] = 0;
          break;
      }
  }
  return x;
}

double square(double x) { return x * x; }

double pair_distance(Metric metric, const float* x, const float* y, std::size_t d) {
  double x_squares = 0, y_squares = 0, sum = 0;
  for (std::size_t a = 0; a < d; ++a) x_squares += double(x[a]) * x[a], y_squares += double(y[a]) * y[a];
  const bool cosine = metric == Metric::cosine;
  if (cosine && (x_squares == 0 || y_squares == 0)) return 1;
  const double x_scale = cosine ? 1 / std::sqrt(x_squares) : 1, y_scale = cosine ? 1 / std::sqrt(y_squares) : 1;
  for (std::size_t a = 0; a < d; ++a) sum += square(x[a] * x_scale - y[a] * y_scale);
  return cosine ? sum / 2 : std::sqrt(sum);
}

// |reported - double distance|: one rounding to f32 (u relative, or half its smallest number), and the two double
// computations' own errors: Euclidean d + 4 roundings each; cosine, where unit vectors err by d + 4 roundings in
// length, so that half the square of their difference t errs by 2 |t| (d + 4) v and the square of that. u = 2^-24, v =
// 2^-53.
double distance_bound(Metric metric, double distance, std::size_t d) {
  const double sums = 2 * (static_cast<double>(d) + 4) * kUnitF64, rounding = kUnitF32 * distance + 0x1p-150;
  if (metric == Metric::euclidean) return rounding + sums * distance;
  return rounding + 2 * sums * std::sqrt(2 * distance) + 4 * sums * sums;
}

struct Problem {
  Metric metric;
  std::size_t N, M, d, k;
  std::vector<float> points, queries;  // no queries: the points themselves

  Problem(Cloud cloud, Metric metric_, std::size_t N_, std::size_t M_, std::size_t d_, std::size_t k_)
      : metric(metric_), N(N_), M(M_ > 0 ? M_ : N_), d(d_), k(k_), points(make_cloud(cloud, N, d, 11)) {
    if (M_ > 0) queries = make_cloud(cloud, M, d, 12);
  }
  bool self() const { return queries.empty(); }
  const float* query(std::size_t i) const { return (self() ? points : queries).data() + i * d; }
};

struct Lists {
  std::vector<std::int32_t> indices;
  std::vector<float> distances;
};

Lists run(Engine& engine, const Problem& problem, const Control* control = nullptr) {
  const auto [N, M, d, k] = std::tuple{problem.N, problem.M, problem.d, problem.k};
  Lists lists{std::vector<std::int32_t>(M * k, -1), std::vector<float>(M * k, -1)};
  NeighborsArgs args{.points = {problem.points.data(), N, d, d},
                     .metric = problem.metric,
                     .indices = {lists.indices.data(), M, k, k},
                     .distances = {lists.distances.data(), M, k, k},
                     .control = control};
  if (!problem.self()) args.queries = {problem.queries.data(), M, d, d};
  engine.neighbors(args);
  return lists;
}

// What is wrong with the lists, or nothing.
std::string fault(const Problem& problem, const Lists& lists) {
  const std::size_t k = problem.k;
  for (std::size_t i = 0; i < problem.M; ++i) {
    const std::int32_t* indices = lists.indices.data() + i * k;
    const float* distances = lists.distances.data() + i * k;
    std::vector<bool> listed(problem.N);
    const auto at = [&](std::size_t n) { return "query " + std::to_string(i) + ", place " + std::to_string(n); };
    for (std::size_t n = 0; n < k; ++n) {
      const auto index = static_cast<std::size_t>(indices[n]);
      if (index >= problem.N || listed[index]) return at(n) + ": an index outside or twice";
      if (problem.self() && index == i) return at(n) + ": the point itself";
      listed[index] = true;
      const double exact =
          pair_distance(problem.metric, problem.query(i), &problem.points[index * problem.d], problem.d);
      if (!(std::abs(distances[n] - exact) <= distance_bound(problem.metric, exact, problem.d)))
        return at(n) + ": distance " + std::to_string(distances[n]) + ", exactly " + std::to_string(exact);
      if (n > 0 && std::pair(distances[n - 1], indices[n - 1]) > std::pair(distances[n], indices[n]))
        return at(n) + ": out of order";
    }
    for (std::size_t j = 0; j < problem.N; ++j) {
      if (listed[j] || (problem.self() && j == i)) continue;
      const double exact = pair_distance(problem.metric, problem.query(i), &problem.points[j * problem.d], problem.d);
      if (exact + distance_bound(problem.metric, exact, problem.d) < distances[k - 1])
        return at(k - 1) + ": point " + std::to_string(j) + " is nearer";
    }
  }
  return "";
}

class Neighbors : public ::testing::TestWithParam<std::tuple<std::string, Metric>> {
 protected:
  // Whether a grid's next case is for this engine: the emulated one takes every thirteenth.
  bool takes_next() { return std::get<0>(GetParam()) != kEmulated || cases_++ % 13 == 0; }

  std::size_t cases_ = 0;
  std::unique_ptr<Engine> engine_ = make_test_engine(std::get<0>(GetParam()), 1);
  Metric metric_ = std::get<1>(GetParam());
};

TEST_P(Neighbors, AreExactAtOddShapes) {
  for (const std::size_t N : {2, 3, 17, 31, 63, 65, 129})
    for (const std::size_t d : {1, 2, 3, 17, 31, 65, 129})
      for (const std::size_t k : {std::size_t{1}, std::size_t{7}, N / 2, N - 1}) {
        if (k >= N || !takes_next()) continue;
        const Problem problem(Cloud::normal, metric_, N, 0, d, k);
        ASSERT_EQ(fault(problem, run(*engine_, problem)), "") << N << " x " << d << ", k " << k;
      }
}

TEST_P(Neighbors, AreExactForQueriesOfTheirOwn) {
  for (const std::size_t M : {1, 2, 63, 65, 129})
    for (const std::size_t N : {1, 3, 65, 129, 500})
      for (const std::size_t k : {std::size_t{1}, N}) {
        if (!takes_next()) continue;
        const Problem problem(Cloud::normal, metric_, N, M, 33, k);
        ASSERT_EQ(fault(problem, run(*engine_, problem)), "") << N << " points, " << M << " queries, k " << k;
      }
}

TEST_P(Neighbors, AreExactOnDifficultClouds) {
  for (int cloud = 0; cloud <= static_cast<int>(Cloud::zeros); ++cloud)
    for (const std::size_t N : {17, 129, 300})
      for (const std::size_t d : {1, 6})
        for (const std::size_t k : {std::size_t{3}, N - 1}) {
          if (!takes_next()) continue;
          const Problem problem(static_cast<Cloud>(cloud), metric_, N, 0, d, k);
          ASSERT_EQ(fault(problem, run(*engine_, problem)), "")
              << name_of(static_cast<Cloud>(cloud)) << " " << N << " x " << d << ", k " << k;
        }
}

// Rows of 1,000 columns: a chunk holds a few tiles only, so the scan goes through many and wraps around.
TEST_P(Neighbors, AreExactOverManyChunks) {
  for (const std::size_t k : {3, 150}) {
    if (!takes_next()) continue;
    const Problem problem(Cloud::clustered, metric_, 200, 0, 1000, k);
    EXPECT_EQ(fault(problem, run(*engine_, problem)), "") << "k " << k;
  }
}

// More points within the codes' error than a row may keep: these rows are measured against all points.
TEST_P(Neighbors, AreExactAmongThousandsOfDuplicates) {
  Problem problem(Cloud::normal, metric_, 1400, 65, 4, 5);
  for (std::size_t j = 0; j < 1300; ++j) std::copy_n(problem.queries.data(), problem.d, &problem.points[j * problem.d]);
  const Lists lists = run(*engine_, problem);
  EXPECT_EQ(fault(problem, lists), "");
  EXPECT_THAT(std::vector(lists.indices.begin(), lists.indices.begin() + 5), ::testing::ElementsAre(0, 1, 2, 3, 4));
  EXPECT_EQ(lists.distances[4], 0);
}

// A query far outside the points has codes that stand for nothing like it; its own error must make up for that.
TEST_P(Neighbors, AreExactForQueriesFarAway) {
  Problem problem(Cloud::normal, metric_, 200, 70, 20, 9);
  for (float& value : problem.queries) value = value * 1e3f + 1e4f;
  EXPECT_EQ(fault(problem, run(*engine_, problem)), "");
}

TEST_P(Neighbors, GiveTiesToTheLowerIndex) {
  const Problem problem(Cloud::equal, metric_, 100, 0, 3, 4);
  const Lists lists = run(*engine_, problem);
  for (std::size_t i = 0; i < 100; ++i) {
    std::vector<std::int32_t> want(100);
    std::iota(want.begin(), want.end(), 0);
    want.erase(want.begin() + static_cast<std::ptrdiff_t>(i));
    for (std::size_t n = 0; n < 4; ++n) ASSERT_EQ(lists.indices[i * 4 + n], want[n]) << "query " << i;
    ASSERT_EQ(lists.distances[i * 4 + 3], 0);
  }
}

TEST_P(Neighbors, AgreeWithTheReferenceOnSeparatedDistances) {
  const Problem problem(Cloud::normal, metric_, 200, 0, 17, 20);
  EXPECT_EQ(run(*engine_, problem).indices, run(*make_engine("reference"), problem).indices);
}

INSTANTIATE_TEST_SUITE_P(Engines, Neighbors,
                         ::testing::Combine(::testing::ValuesIn(test_engines()),
                                            ::testing::Values(Metric::euclidean, Metric::cosine)),
                         [](const auto& test) {
                           return std::get<0>(test.param) +
                                  (std::get<1>(test.param) == Metric::cosine ? "_cosine" : "_euclidean");
                         });

TEST(NeighborsCosine, PutsZeroVectorsAtDistanceOne) {
  for (const std::string& name : test_engines()) {
    const Problem problem(Cloud::zeros, Metric::cosine, 100, 0, 5, 99);
    const Lists lists = run(*make_test_engine(name), problem);
    for (std::size_t n = 0; n < 99; ++n) {
      EXPECT_EQ(lists.distances[1 * 99 + n], 1) << name;
      EXPECT_EQ(lists.indices[1 * 99 + n], static_cast<std::int32_t>(n < 1 ? n : n + 1)) << name;
    }
  }
}

// Rows whose norm is near f32's smallest and largest numbers.
TEST(NeighborsCosine, TakesRowsOfAnySize) {
  Problem problem(Cloud::normal, Metric::cosine, 129, 0, 5, 10);
  for (std::size_t i = 0; i < 129; ++i)
    for (std::size_t a = 0; a < 5; ++a) problem.points[i * 5 + a] *= i % 3 == 0 ? 1e-40f : i % 3 == 1 ? 1e37f : 1.0f;
  for (const std::string& name : test_engines())
    EXPECT_EQ(fault(problem, run(*make_test_engine(name), problem)), "") << name;
}

TEST(NeighborsEuclidean, KeepsNearbyPointsApartThatLieFarFromTheOrigin) {
  Problem problem(Cloud::normal, Metric::euclidean, 129, 0, 3, 10);
  for (float& value : problem.points) value = 4096 + value * 0x1p-10f;
  for (const std::string& name : test_engines())
    EXPECT_EQ(fault(problem, run(*make_test_engine(name), problem)), "") << name;
}

TEST(NeighborsThreads, DoNotChangeABit) {
  const Problem problem(Cloud::clustered, Metric::euclidean, 1500, 0, 33, 30);
  const Lists want = run(*make_engine("cpu", {.threads = 1}), problem);
  for (const int threads : {2, 3}) {
    const Lists got = run(*make_engine("cpu", {.threads = threads}), problem);
    EXPECT_EQ(got.indices, want.indices);
    EXPECT_EQ(got.distances, want.distances);
  }
}

TEST(NeighborsComparison, SeesPlantedFaults) {
  const Problem problem(Cloud::normal, Metric::euclidean, 129, 0, 17, 9);
  const Lists right = run(*make_engine("cpu"), problem);
  ASSERT_EQ(fault(problem, right), "");
  Lists wrong = right;
  wrong.distances[5 * 9 + 3] *= 1 + 0x1p-22f;
  EXPECT_NE(fault(problem, wrong), "");
  wrong = right;
  std::swap(wrong.indices[0], wrong.indices[1]);
  EXPECT_NE(fault(problem, wrong), "");
  // The 8 nearest and the 10th in place of the 9th.
  const Problem wider(Cloud::normal, Metric::euclidean, 129, 0, 17, 10);
  const Lists ten = run(*make_engine("cpu"), wider);
  wrong = right;
  wrong.indices[8] = ten.indices[9];
  wrong.distances[8] = ten.distances[9];
  EXPECT_NE(fault(problem, wrong), "");
}

TEST(NeighborsConfig, FitsTheShape) {
  const cpu::CodeFormat format{.lanes = 16, .tile = 64};
  EXPECT_FALSE(cpu::choose_neighbors_config(format, 1000, 1, 10, 5, 2).use_codes);
  for (const std::size_t d : {1, 50, 384, 100000})
    for (const std::size_t k : {1, 90, 5000}) {
      const auto config = cpu::choose_neighbors_config(format, 30522, 30522, d, k, 2);
      EXPECT_TRUE(config.use_codes);
      EXPECT_LE(static_cast<double>(config.levels) * config.levels * static_cast<double>(d), 0x1p29);
      EXPECT_EQ(config.chunk_points % 64, 0u);
      EXPECT_GE(config.capacity, k + 1);
      EXPECT_EQ(config.block_rows % 12, 0u);
      EXPECT_EQ(config.rows_per_call % config.block_rows, 0u);
    }
}

std::string message_of(const NeighborsArgs& args) {
  try {
    make_engine("cpu")->neighbors(args);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    return error.what();
  }
  return "accepted";
}

TEST(NeighborsArguments, NameTheValueThatIsWrong) {
  std::vector<float> x(12, 1.0f), distances(16);
  std::vector<std::int32_t> indices(16);
  const MatrixView<const float> points{x.data(), 4, 3, 3};
  const auto args = [&](std::size_t rows, std::size_t k) {
    return NeighborsArgs{
        .points = points, .indices = {indices.data(), rows, k, k}, .distances = {distances.data(), rows, k, k}};
  };
  EXPECT_EQ(message_of(args(4, 4)), "neighbors: k is 4, needs to be 1 to 3: 4 points, each without itself");
  EXPECT_EQ(message_of(args(4, 0)), "neighbors: k is 0, needs to be 1 to 3: 4 points, each without itself");
  EXPECT_EQ(message_of(args(3, 2)), "neighbors: indices are [3, 2] and distances [3, 2], both need to be [4, k]");
  auto with_queries = args(2, 1);
  with_queries.queries = {x.data(), 2, 2, 2};
  EXPECT_EQ(message_of(with_queries), "neighbors: queries have 2 columns, points have 3");
  x[7] = std::nanf("");
  EXPECT_EQ(message_of(args(4, 1)), "neighbors: points has nan in row 2, column 1");
}

TEST(NeighborsArguments, NoQueriesAreNothingToDo) {
  std::vector<float> x(3);
  make_engine("cpu")->neighbors({.points = {x.data(), 0, 3, 3}});
}

TEST(NeighborsControl, ReportsAndStops) {
  const Problem problem(Cloud::normal, Metric::euclidean, 300, 0, 5, 3);
  for (const char* name : {"cpu", "reference"}) {
    std::vector<double> shares;
    Control control{.stop = {}, .progress = [&](double share) { shares.push_back(share); }};
    run(*make_engine(name), problem, &control);
    ASSERT_FALSE(shares.empty());
    EXPECT_TRUE(std::is_sorted(shares.begin(), shares.end()));
    EXPECT_EQ(shares.back(), 1);
    std::stop_source source;
    source.request_stop();
    control.stop = source.get_token();
    try {
      run(*make_engine(name), problem, &control);
      FAIL() << "ran to the end";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCancelled);
    }
  }
}

}  // namespace
}  // namespace lexiscope::testing
