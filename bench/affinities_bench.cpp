// The affinities' rows and pairs a second. A calibrated row costs some ten exponentials a neighbour; the sparse matrix
// is written once, so a copy of its bytes is the floor. On the cuda engine the neighbours lie on the device already.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <random>
#include <vector>

#include "bench/cuda.h"
#include "bench/inputs.h"
#include "bench/limits.h"
#include "lexiscope/engine.h"

namespace lexiscope::bench {
namespace {

// Neighbours near each point's own index, as after an ordering along a curve, with growing distances.
struct Graph {
  std::vector<std::int32_t> indices;
  std::vector<float> distances;

  Graph(std::size_t N, std::size_t k) : indices(N * k), distances(N * k) {
    std::mt19937 random(7);
    for (std::size_t i = 0; i < N; ++i) {
      for (std::size_t n = 0; n < k; ++n) {
        indices[i * k + n] = static_cast<std::int32_t>((i + 1 + n * (1 + i % 5)) % N);
        distances[i * k + n] = 1 + static_cast<float>(random() % 1024) / 1024;
      }
      std::sort(distances.data() + i * k, distances.data() + (i + 1) * k);
    }
  }
};

void affinities(benchmark::State& state) {
  const auto N = static_cast<std::size_t>(state.range(0)), k = static_cast<std::size_t>(state.range(1));
  const Graph graph(N, k);
  const auto engine = make_engine("cpu");
  std::size_t entries = 0;
  for (auto _ : state) {
    const SparseMatrix matrix = engine->affinities(
        {.indices = {graph.indices.data(), N, k, k}, .distances = {graph.distances.data(), N, k, k}, .perplexity = 30});
    entries = matrix.entries();
  }
  report_pairs(state, static_cast<double>(N * k));
  report_bytes(state, static_cast<double>(entries * (sizeof(std::int32_t) + sizeof(float))));
}

void affinities_cuda(benchmark::State& state) {
  const auto N = static_cast<std::size_t>(state.range(0)), k = static_cast<std::size_t>(state.range(1));
  const auto engine = make_cuda_engine(state);
  if (!engine) return;
  const Graph graph(N, k);
  const std::array shape{N, k};
  const Tensor indices = to_engine(*engine, dense_view<const void>(graph.indices.data(), DType::i32, shape)),
               distances = to_engine(*engine, dense_view<const void>(graph.distances.data(), DType::f32, shape));
  time_calls(state, [&] {
    const SparseMatrix matrix = engine->affinities(
        {.indices = indices.matrix<std::int32_t>(), .distances = distances.matrix<float>(), .perplexity = 30});
    wait(*engine, matrix.values);
  });
  report_pairs(state, static_cast<double>(N * k));
}

void global_affinities(benchmark::State& state) {
  const auto N = static_cast<std::size_t>(state.range(0)), d = static_cast<std::size_t>(state.range(1));
  const auto points = normal_values(N * d, 7);
  const auto engine = make_engine("cpu");
  for (auto _ : state) engine->global_affinities({.points = {points.data(), N, d, d}, .sigma = 1});
  const double pairs = static_cast<double>(N) * static_cast<double>(N);
  report_pairs(state, pairs);
  report_flops(state, 3 * 3 * pairs * static_cast<double>(d));  // three passes; subtract, multiply, add
}

void global_affinities_cuda(benchmark::State& state) {
  const auto N = static_cast<std::size_t>(state.range(0)), d = static_cast<std::size_t>(state.range(1));
  const auto engine = make_cuda_engine(state);
  if (!engine) return;
  const auto rows = normal_values(N * d, 7);
  const Tensor points = to_engine(*engine, dense_view<const void>(rows.data(), DType::f32, std::array{N, d}));
  time_calls(state, [&] {
    const SparseMatrix matrix = engine->global_affinities({.points = points.matrix<float>(), .sigma = 1});
    wait(*engine, matrix.values);
  });
  report_pairs(state, static_cast<double>(N) * static_cast<double>(N));
}

BENCHMARK(affinities_cuda)->ArgNames({"N", "k"})->Args({30522, 90})->Args({1000000, 90})->Apply(on_the_device);
BENCHMARK(global_affinities_cuda)->ArgNames({"N", "d"})->Args({4096, 50})->Args({30522, 50})->Apply(on_the_device);
BENCHMARK(affinities)->ArgNames({"N", "k"})->Args({30522, 90})->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(global_affinities)->ArgNames({"N", "d"})->Args({4096, 50})->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace lexiscope::bench
