// The affinities' rows and pairs a second. A calibrated row costs some ten exponentials a neighbour; the sparse matrix
// is written once, so a copy of its bytes is the floor.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include "bench/limits.h"
#include "lexiscope/engine.h"

namespace lexiscope::bench {
namespace {

// Neighbours near each point's own index, as after an ordering along a curve, with growing distances.
void affinities(benchmark::State& state) {
  const auto N = static_cast<std::size_t>(state.range(0)), k = static_cast<std::size_t>(state.range(1));
  std::mt19937 random(7);
  std::vector<std::int32_t> indices(N * k);
  std::vector<float> distances(N * k);
  for (std::size_t i = 0; i < N; ++i) {
    for (std::size_t n = 0; n < k; ++n) {
      indices[i * k + n] = static_cast<std::int32_t>((i + 1 + n * (1 + i % 5)) % N);
      distances[i * k + n] = 1 + static_cast<float>(random() % 1024) / 1024;
    }
    std::sort(distances.data() + i * k, distances.data() + (i + 1) * k);
  }
  const auto engine = make_engine("cpu");
  std::size_t entries = 0;
  for (auto _ : state) {
    const SparseMatrix matrix = engine->affinities(
        {.indices = {indices.data(), N, k, k}, .distances = {distances.data(), N, k, k}, .perplexity = 30});
    entries = matrix.entries();
  }
  report_pairs(state, static_cast<double>(N * k));
  report_bytes(state, static_cast<double>(entries * (sizeof(std::int32_t) + sizeof(float))));
}

void global_affinities(benchmark::State& state) {
  const auto N = static_cast<std::size_t>(state.range(0)), d = static_cast<std::size_t>(state.range(1));
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  std::vector<float> points(N * d);
  for (float& value : points) value = normal(random);
  const auto engine = make_engine("cpu");
  for (auto _ : state) engine->global_affinities({.points = {points.data(), N, d, d}, .sigma = 1});
  const double pairs = static_cast<double>(N) * static_cast<double>(N);
  report_pairs(state, pairs);
  report_flops(state, 3 * 3 * pairs * static_cast<double>(d));  // three passes; subtract, multiply, add
}

BENCHMARK(affinities)->ArgNames({"N", "k"})->Args({30522, 90})->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(global_affinities)->ArgNames({"N", "d"})->Args({4096, 50})->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace lexiscope::bench
