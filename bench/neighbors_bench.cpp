// The exact neighbour search's pairs a second, at the widths of a map's principal components and of an embedding, and
// the multiply-additions behind them beside sgemm's.
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "bench/limits.h"
#include "lexiscope/engine.h"

namespace lexiscope::bench {
namespace {

// Columns whose deviations fall as 1 / sqrt(column), as principal components' do; independent ones would have no
// neighbourhoods.
std::vector<float> decaying_columns(std::size_t N, std::size_t d) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  std::vector<float> x(N * d);
  for (std::size_t i = 0; i < N * d; ++i) x[i] = normal(random) / std::sqrt(static_cast<float>(i % d + 1));
  return x;
}

void neighbors(benchmark::State& state) {
  const auto N = static_cast<std::size_t>(state.range(0)), d = static_cast<std::size_t>(state.range(1)),
             k = static_cast<std::size_t>(state.range(2));
  const auto points = decaying_columns(N, d);
  std::vector<std::int32_t> indices(N * k);
  std::vector<float> distances(N * k);
  const auto engine = make_engine("cpu");
  for (auto _ : state)
    engine->neighbors({.points = {points.data(), N, d, d},
                       .metric = state.range(3) ? Metric::cosine : Metric::euclidean,
                       .indices = {indices.data(), N, k, k},
                       .distances = {distances.data(), N, k, k}});
  const double pairs = static_cast<double>(N) * static_cast<double>(N);
  report_pairs(state, pairs);
  report_flops(state, 2 * pairs * static_cast<double>(d));
}

BENCHMARK(neighbors)
    ->ArgNames({"N", "d", "k", "cosine"})
    ->Args({30522, 50, 90, 0})
    ->Args({30522, 384, 90, 0})
    ->Args({30522, 384, 10, 1})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace lexiscope::bench
