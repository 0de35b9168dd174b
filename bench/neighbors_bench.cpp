// The exact neighbour search's pairs a second, at the widths of a map's principal components and of an embedding, and
// the multiply-additions behind them beside sgemm's. On the cuda engine the points lie on the device already.
#include <benchmark/benchmark.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

#include "bench/cuda.h"
#include "bench/inputs.h"
#include "bench/limits.h"
#include "lexiscope/engine.h"

namespace lexiscope::bench {
namespace {

// Columns whose deviations fall as 1 / sqrt(column), as principal components' do; independent ones would have no
// neighbourhoods.
std::vector<float> decaying_columns(std::size_t N, std::size_t d) {
  std::vector<float> x = normal_values(N * d, 7);
#pragma omp parallel for
  for (std::size_t i = 0; i < N * d; ++i) x[i] /= std::sqrt(static_cast<float>(i % d + 1));
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

void neighbors_cuda(benchmark::State& state) {
  const auto N = static_cast<std::size_t>(state.range(0)), d = static_cast<std::size_t>(state.range(1)),
             k = static_cast<std::size_t>(state.range(2));
  const auto engine = make_cuda_engine(state);
  if (!engine) return;
  const auto rows = decaying_columns(N, d);
  const Tensor points = to_engine(*engine, dense_view<const void>(rows.data(), DType::f32, std::array{N, d})),
               indices = engine->allocate(DType::i32, {N, k}), distances = engine->allocate(DType::f32, {N, k});
  time_calls(state, [&] {
    engine->neighbors({.points = points.matrix<float>(),
                       .metric = state.range(3) ? Metric::cosine : Metric::euclidean,
                       .indices = indices.matrix<std::int32_t>(),
                       .distances = distances.matrix<float>()});
    wait(*engine, distances);
  });
  const double pairs = static_cast<double>(N) * static_cast<double>(N);
  report_pairs(state, pairs);
  report_rate(state, "FLOP", 2 * pairs * static_cast<double>(d));
}

BENCHMARK(neighbors_cuda)
    ->ArgNames({"N", "d", "k", "cosine"})
    ->Args({30522, 50, 90, 0})
    ->Args({30522, 384, 90, 0})
    ->Args({30522, 384, 10, 1})
    ->Args({250000, 384, 90, 0})
    ->Apply(on_the_device);
BENCHMARK(neighbors_cuda)
    ->ArgNames({"N", "d", "k", "cosine"})
    ->Args({1000000, 64, 90, 0})
    ->Args({1000000, 128, 90, 0})
    ->Apply(on_the_device)
    ->Iterations(2);  // each takes long
BENCHMARK(neighbors)
    ->ArgNames({"N", "d", "k", "cosine"})
    ->Args({30522, 50, 90, 0})
    ->Args({30522, 384, 90, 0})
    ->Args({30522, 384, 10, 1})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace lexiscope::bench
