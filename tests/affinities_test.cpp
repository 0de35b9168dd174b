// The affinities of every engine: entropies, symmetry and sums from their definitions, values against the reference.
#include "kernels/reference/affinities.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "host/core/memory_limit.h"
#include "lexiscope/engine.h"
#include "lexiscope/error.h"
#include "tests/support/compare.h"
#include "tests/support/engines.h"

namespace lexiscope::testing {
namespace {

struct Graph {
  std::size_t N, k;
  std::vector<std::int32_t> indices;
  std::vector<float> distances;

  AffinitiesArgs args(float perplexity) const {
    return {.indices = {indices.data(), N, k, k}, .distances = {distances.data(), N, k, k}, .perplexity = perplexity};
  }
  std::span<const float> distances_of(std::size_t i) const { return {distances.data() + i * k, k}; }
};

// k different neighbours of each point, at random, at distances around `scale`.
Graph random_graph(std::size_t N, std::size_t k, float scale) {
  Graph graph{N, k, {}, {}};
  std::mt19937 random(static_cast<unsigned>(N * 31 + k));
  std::vector<std::int32_t> others(N);
  std::iota(others.begin(), others.end(), 0);
  for (std::size_t i = 0; i < N; ++i) {
    std::shuffle(others.begin(), others.end(), random);
    std::vector<float> distances;
    for (std::size_t n = 0; graph.indices.size() < (i + 1) * k; ++n)
      if (others[n] != static_cast<std::int32_t>(i)) graph.indices.push_back(others[n]);
    for (std::size_t n = 0; n < k; ++n)
      distances.push_back(scale * (0.5f + std::uniform_real_distribution<float>()(random)));
    std::sort(distances.begin(), distances.end());
    graph.distances.insert(graph.distances.end(), distances.begin(), distances.end());
  }
  return graph;
}

// Three groups, each with its neighbours in the next: nobody is a neighbour of its neighbour, so p_ij is p_j|i / 2N.
Graph ring_graph(std::size_t group, std::size_t k, float scale) {
  Graph graph = random_graph(3 * group, k, scale);
  for (std::size_t i = 0; i < graph.N; ++i)
    for (std::size_t n = 0; n < k; ++n)
      graph.indices[i * k + n] = static_cast<std::int32_t>(((i / group + 1) % 3) * group + (i + n) % group);
  return graph;
}

using Rows = std::vector<std::map<std::size_t, double>>;

Rows rows_of(const SparseMatrix& matrix) {
  Rows rows(matrix.rows());
  const auto* offsets = matrix.row_offsets.vector<std::int64_t>().data;
  const auto columns = matrix.columns.vector<std::int32_t>();
  const auto values = matrix.values.vector<float>();
  for (std::size_t i = 0; i < rows.size(); ++i)
    for (auto at = static_cast<std::size_t>(offsets[i]); at < static_cast<std::size_t>(offsets[i + 1]); ++at)
      rows[i][static_cast<std::size_t>(columns[at])] = values[at];
  return rows;
}

// What is wrong with the form of the matrix, or nothing. Each value rounds to f32 once or twice: 2u relative.
std::string fault(const SparseMatrix& matrix) {
  const auto* offsets = matrix.row_offsets.vector<std::int64_t>().data;
  const auto columns = matrix.columns.vector<std::int32_t>();
  if (offsets[0] != 0 || static_cast<std::size_t>(offsets[matrix.rows()]) != matrix.entries()) return "offsets";
  for (std::size_t i = 0; i < matrix.rows(); ++i)
    for (std::int64_t at = offsets[i]; at < offsets[i + 1]; ++at) {
      const std::int32_t column = columns[static_cast<std::size_t>(at)];
      if (column == static_cast<std::int32_t>(i)) return "a diagonal entry in row " + std::to_string(i);
      if (at > offsets[i] && columns[static_cast<std::size_t>(at) - 1] >= column)
        return "columns do not ascend in row " + std::to_string(i);
    }
  double sum = 0;
  const Rows rows = rows_of(matrix);
  for (std::size_t i = 0; i < rows.size(); ++i)
    for (const auto& [j, value] : rows[i]) {
      const auto back = rows[j].find(i);
      if (back == rows[j].end() || back->second != value) return "not symmetric at row " + std::to_string(i);
      sum += value;
    }
  return std::abs(sum - 1) <= 3 * kUnitF32 ? "" : "sums to " + std::to_string(sum);
}

double entropy(const std::vector<double>& p) {
  double sum = 0;
  for (const double value : p)
    if (value > 0) sum -= value * std::log(value);
  return sum;
}

// |error of p_j|i|: rounding to f32 twice, and what an entropy wrong by t does. With z_j = -log(p_j) - H, d log(p_j) is
// z_j dH / sum of p z^2; t is at most 1e-10 in the engine and the rounding of H in both, 1e-13.
std::vector<double> bounds_of(const std::vector<double>& p) {
  const double H = entropy(p);
  double variance = 0;
  for (const double value : p)
    if (value > 0) variance += value * std::pow(std::log(value) + H, 2);
  std::vector<double> bounds;
  for (const double value : p) {
    const double steep = value > 0 && variance > 0 ? std::abs(std::log(value) + H) / variance : 0;
    bounds.push_back(value * (2.5 * kUnitF32 + 1.1e-10 * steep) + 0x1p-149);
  }
  return bounds;
}

// The worst error as a share of its bound, infinite where an entry is missing.
double worst_share(const Graph& graph, float perplexity, const SparseMatrix& got, const SparseMatrix& want) {
  Rows bounds(graph.N);
  for (std::size_t i = 0; i < graph.N; ++i) {
    const auto row = bounds_of(reference::calibrated_row(graph.distances_of(i), perplexity));
    for (std::size_t n = 0; n < graph.k; ++n) {
      const auto j = static_cast<std::size_t>(graph.indices[i * graph.k + n]);
      bounds[i][j] += row[n] / (2 * static_cast<double>(graph.N));
      bounds[j][i] += row[n] / (2 * static_cast<double>(graph.N));
    }
  }
  const Rows got_rows = rows_of(got), want_rows = rows_of(want);
  double worst = 0;
  for (std::size_t i = 0; i < graph.N; ++i) {
    if (got_rows[i].size() != want_rows[i].size()) return INFINITY;
    for (const auto& [j, value] : want_rows[i]) {
      if (!got_rows[i].contains(j)) return INFINITY;
      worst = std::max(worst, error_share(got_rows[i].at(j), value, bounds[i][j] + 0x1p-149));
    }
  }
  return worst;
}

class Affinities : public ::testing::TestWithParam<std::string> {
 protected:
  // Whether a grid's next case is for this engine: the emulated one takes every fifth.
  bool takes_next() { return GetParam() != kEmulated || cases_++ % 5 == 0; }

  std::size_t cases_ = 0;
  std::unique_ptr<Engine> engine_ = make_test_engine(GetParam(), 1);
};

TEST_P(Affinities, AgreeWithTheReference) {
  const auto reference = make_engine("reference");
  for (const auto& [N, k] : {std::pair<std::size_t, std::size_t>{2, 1}, {4, 3}, {33, 2}, {65, 31}, {129, 90}, {80, 79}})
    for (const float scale : {1e-20f, 1.0f, 1e15f})
      for (const float share : {0.0f, 0.3f, 0.9f, 1.0f}) {
        if (!takes_next()) continue;
        const float perplexity = 1 + share * static_cast<float>(k - 1);
        const Graph graph = random_graph(N, k, scale);
        const SparseMatrix got = engine_->affinities(graph.args(perplexity));
        EXPECT_EQ(fault(got), "") << N << ", k " << k << ", perplexity " << perplexity;
        EXPECT_LE(worst_share(graph, perplexity, got, reference->affinities(graph.args(perplexity))), 1.0)
            << N << ", k " << k << ", scale " << scale << ", perplexity " << perplexity;
      }
}

// H = -sum of p log p changes by (log p + 1) dp; two roundings of each p make that at most 2.5 u (H + 1).
TEST_P(Affinities, HaveTheEntropyOfThePerplexity) {
  for (const std::size_t k : {5, 64, 90}) {
    const Graph graph = ring_graph(100, k, 3);
    for (const float perplexity : {1.5f, 4.0f, static_cast<float>(k) / 3}) {
      const Rows rows = rows_of(engine_->affinities(graph.args(perplexity)));
      for (std::size_t i = 0; i < graph.N; ++i) {
        std::vector<double> p;
        for (std::size_t n = 0; n < k; ++n)
          p.push_back(rows[i].at(static_cast<std::size_t>(graph.indices[i * k + n])) * 2 *
                      static_cast<double>(graph.N));
        const double wanted = std::log(perplexity);
        ASSERT_NEAR(entropy(p), wanted, 2.5 * kUnitF32 * (wanted + 1) + 2e-10) << "row " << i << ", k " << k;
      }
    }
  }
}

// Distances from a real vocabulary on which Newton's steps alone swing between two values for ever.
TEST_P(Affinities, AreCalibratedWhereNewtonSwings) {
  constexpr int kDistances[] = {
      65815, 66218, 66558, 66917, 67049, 68293, 68358, 68374, 68426, 68841, 68953, 69115, 69367, 69406, 69436,
      69806, 69916, 69969, 70168, 70237, 70417, 70633, 70725, 70739, 70872, 70997, 71008, 71237, 71353, 71412,
      71461, 71613, 71663, 71817, 71958, 71967, 72016, 72095, 72098, 72170, 72237, 72253, 72257, 72455, 72498,
      72559, 72642, 72719, 72972, 72975, 73076, 73108, 73154, 73206, 73206, 73297, 73349, 73415, 73442, 73450,
      73466, 73541, 73656, 73674, 73757, 73841, 73927, 73933, 73935, 74017, 74035, 74037, 74049, 74077, 74112,
      74120, 74144, 74161, 74253, 74277, 74280, 74292, 74317, 74327, 74348, 74354, 74384, 74412, 74414, 74417};
  Graph graph = ring_graph(100, std::size(kDistances), 1);
  for (std::size_t n = 0; n < graph.distances.size(); ++n)
    graph.distances[n] = static_cast<float>(kDistances[n % graph.k]) * 1e-5f;
  const SparseMatrix want = make_engine("reference")->affinities(graph.args(30));
  EXPECT_LE(worst_share(graph, 30, engine_->affinities(graph.args(30)), want), 1.0);
}

TEST_P(Affinities, AreUniformOverEquallyFarNeighbours) {
  Graph graph = ring_graph(20, 7, 1);
  for (const float distance : {0.0f, 2.5f}) {
    std::fill(graph.distances.begin(), graph.distances.end(), distance);
    for (const auto& row : rows_of(engine_->affinities(graph.args(3))))
      for (const auto& [j, value] : row) ASSERT_NEAR(value, 1.0 / (7 * 2 * 60), 2.5 * kUnitF32 / (7 * 2 * 60));
  }
}

// Four of seven at the least distance: no beta gives less entropy than log(4), so perplexity 3 means these four alone.
TEST_P(Affinities, GoToTheNearestWhereMoreThanThePerplexityAreNearest) {
  Graph graph = ring_graph(20, 7, 1);
  for (std::size_t i = 0; i < graph.N; ++i)
    for (std::size_t n = 0; n < 7; ++n) graph.distances[i * 7 + n] = n < 4 ? 0.5f : 1.0f;
  const Rows rows = rows_of(engine_->affinities(graph.args(3)));
  for (std::size_t n = 0; n < 7; ++n)
    EXPECT_NEAR(rows[0].at(static_cast<std::size_t>(graph.indices[n])), n < 4 ? 1.0 / (4 * 2 * 60) : 0,
                2.5 * kUnitF32 / (4 * 2 * 60));
}

std::vector<float> cloud(std::size_t N, std::size_t d) { return random_normal(N * d, static_cast<unsigned>(N + d)); }

// p = exp(-E) / S: E errs by at most (d + 6) v relative in each computation, exp by 2 units, S as its terms; then one
// rounding to f32, where values below its smallest may be missing. v = 2^-53.
TEST_P(Affinities, WithOneSigmaAgreeWithTheReference) {
  const auto reference = make_engine("reference");
  for (const std::size_t N : {2, 3, 17, 65, 600})
    for (const std::size_t d : {1, 3, 33})
      for (const float sigma : {0.1f, 0.5f, 2.0f, 100.0f}) {
        const bool many = N > 512;  // more than a chunk of points: where most pairs round to zero
        if (many != (sigma < 0.5f) || (many && d != 3) || !takes_next()) continue;
        const auto points = cloud(N, d);
        const GlobalAffinitiesArgs args{.points = {points.data(), N, d, d}, .sigma = sigma};
        const SparseMatrix got = engine_->global_affinities(args);
        EXPECT_EQ(fault(got), "") << N << " x " << d << ", sigma " << sigma;
        const Rows got_rows = rows_of(got), want_rows = rows_of(reference->global_affinities(args));
        for (std::size_t i = 0; i < N; ++i)
          for (std::size_t j = 0; j < N; ++j) {
            const double value = got_rows[i].contains(j) ? got_rows[i].at(j) : 0;
            const double want = want_rows[i].contains(j) ? want_rows[i].at(j) : 0;
            const double relative = 2 * kUnitF32 + 1500 * (static_cast<double>(d) + 10) * kUnitF64;
            ASSERT_LE(error_share(value, want, relative * want + 0x1p-148), 1) << i << ", " << j << " of " << N;
          }
      }
}

TEST_P(Affinities, LeaveOutPairsThatRoundToZero) {
  const std::vector<float> points{0, 1, 1000};
  const SparseMatrix got = engine_->global_affinities({.points = {points.data(), 3, 1, 1}, .sigma = 1});
  EXPECT_EQ(got.entries(), 2u);
  EXPECT_EQ(rows_of(got)[0].at(1), 0.5);
}

INSTANTIATE_TEST_SUITE_P(Engines, Affinities, ::testing::ValuesIn(test_engines()),
                         [](const auto& test) { return test.param; });

TEST(AffinitiesThreads, DoNotChangeABit) {
  const Graph graph = random_graph(700, 40, 1);
  const auto points = cloud(300, 5);
  const auto run = [&](int threads) {
    const auto engine = make_engine("cpu", {.threads = threads});
    return std::pair(rows_of(engine->affinities(graph.args(12))),
                     rows_of(engine->global_affinities({.points = {points.data(), 300, 5, 5}, .sigma = 1})));
  };
  const auto want = run(1);
  EXPECT_EQ(run(2), want);
  EXPECT_EQ(run(3), want);
}

TEST(AffinitiesComparison, SeesAPlantedFault) {
  const Graph graph = random_graph(65, 31, 1);
  const auto reference = make_engine("reference");
  const SparseMatrix want = reference->affinities(graph.args(10)), got = make_engine("cpu")->affinities(graph.args(10));
  EXPECT_LE(worst_share(graph, 10, got, want), 1.0);
  float& largest = *std::max_element(got.values.vector<float>().data, got.values.vector<float>().data + got.entries());
  largest *= 1 + 0x1p-20f;
  EXPECT_GT(worst_share(graph, 10, got, want), 1.0);
  EXPECT_NE(fault(got), "");
}

template <typename Call>
void expect_error(ErrorCode code, const std::string& message, const Call& call) {
  try {
    call(*make_engine("cpu"));
    ADD_FAILURE() << "accepted: " << message;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code);
    EXPECT_EQ(error.what(), message);
  }
}

TEST(AffinitiesArguments, NameTheValueThatIsWrong) {
  const auto expect = [](const Graph& graph, float perplexity, const std::string& message) {
    expect_error(ErrorCode::kInvalidArgument, message,
                 [&](Engine& engine) { engine.affinities(graph.args(perplexity)); });
  };
  const Graph right = random_graph(5, 3, 1);
  expect(right, 4, "affinities: perplexity is 4, needs to be 1 to 3, the number of neighbours");
  expect(right, 0.5f, "affinities: perplexity is 0.5, needs to be 1 to 3, the number of neighbours");
  Graph wrong = right;
  wrong.indices[4] = 5;
  expect(wrong, 2, "affinities: indices[1, 1] is 5, needs to be 0 to 4 and not 1 itself");
  wrong.indices[4] = 1;
  expect(wrong, 2, "affinities: indices[1, 1] is 1, needs to be 0 to 4 and not 1 itself");
  wrong = right;
  wrong.distances[7] = -1;
  expect(wrong, 2, "affinities: distances[2, 1] is -1, needs to be finite and not negative");
}

TEST(AffinitiesArguments, OfOneSigmaNameTheValueThatIsWrong) {
  std::vector<float> points{0, 1, 2};
  const auto expect = [&](std::size_t N, float sigma, const std::string& message) {
    expect_error(ErrorCode::kInvalidArgument, message, [&](Engine& engine) {
      engine.global_affinities({.points = {points.data(), N, 1, 1}, .sigma = sigma});
    });
  };
  expect(1, 1, "global_affinities: points are [1, 1], need at least 2 rows and 1 column");
  expect(3, 0, "global_affinities: sigma is 0, needs to be positive");
  expect(3, 1e-3f,
         "global_affinities: sigma is 0.001, too small for these points: exp(-distance^2 / 2 sigma^2) is 0 for every "
         "pair");
  points[1] = std::nanf("");
  expect(3, 1, "global_affinities: points has nan in row 1, column 0");
}

TEST(AffinitiesMemory, IsRefusedWithTheBytesNeeded) {
  try {
    require_memory("global_affinities", std::size_t{1} << 60);
    FAIL() << "2^60 bytes were taken to fit";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kOutOfMemory);
    EXPECT_THAT(error.what(),
                ::testing::HasSubstr("global_affinities: out of memory: about 1152921504606846976 bytes"));
  }
  require_memory("global_affinities", 1);
}

TEST(AffinitiesOfNothing, AreAnEmptyMatrix) {
  for (const char* name : {"cpu", "reference"}) {
    const SparseMatrix matrix = make_engine(name)->affinities({});
    EXPECT_EQ(matrix.rows(), 0u);
    EXPECT_EQ(matrix.entries(), 0u);
  }
}

TEST(AffinitiesControl, ReportsAndStops) {
  const Graph graph = random_graph(65, 5, 1);
  const auto points = cloud(100, 3);
  for (const char* name : {"cpu", "reference"}) {
    std::vector<double> shares;
    Control control{.stop = {}, .progress = [&](double share) { shares.push_back(share); }};
    GlobalAffinitiesArgs global{.points = {points.data(), 100, 3, 3}, .sigma = 1, .control = &control};
    make_engine(name)->global_affinities(global);
    EXPECT_TRUE(std::is_sorted(shares.begin(), shares.end()));
    EXPECT_EQ(shares.back(), 1);
    AffinitiesArgs args = graph.args(3);
    args.control = &control;
    make_engine(name)->affinities(args);
    std::stop_source source;
    source.request_stop();
    control.stop = source.get_token();
    EXPECT_THROW(make_engine(name)->global_affinities(global), Error);
    EXPECT_THROW(make_engine(name)->affinities(args), Error);
  }
}

}  // namespace
}  // namespace lexiscope::testing
