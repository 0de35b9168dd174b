// The eigendecomposition's f64 operations a second beside sgemm on the one thread that it runs on.
#include <benchmark/benchmark.h>

#include <vector>

#include "bench/limits.h"
#include "lexiscope/engine.h"

namespace lexiscope::bench {
namespace {

// A covariance-like matrix: a decaying diagonal and smaller, structureless elements beside it.
std::vector<double> positive_matrix(std::size_t d) {
  std::vector<double> matrix(d * d);
  for (std::size_t i = 0; i < d; ++i)
    for (std::size_t j = 0; j <= i; ++j) {
      const double beside = static_cast<double>((i * 7919 + j * 104729) % 1024) / 1024 / static_cast<double>(d);
      matrix[i * d + j] = i == j ? 2.0 / static_cast<double>(1 + i) + 1 : beside;
    }
  return matrix;
}

void eigendecomposition(benchmark::State& state) {
  const auto d = static_cast<std::size_t>(state.range(0)), k = static_cast<std::size_t>(state.range(1));
  const auto matrix = positive_matrix(d);
  std::vector<double> values(d), vectors(k * d);
  const auto engine = make_engine("cpu");
  for (auto _ : state)
    engine->eigendecomposition({.matrix = {matrix.data(), d, d, d},
                                .eigenvalues = {values.data(), d},
                                .eigenvectors = {vectors.data(), k, d, d}});
  // To tridiagonal form 4/3 d^3, its vectors by divide and conquer 4/3 d^3 (less where it deflates), k turned back.
  const auto size = static_cast<double>(d);
  report_flops(state, size * size * (8.0 / 3 * size + 2 * static_cast<double>(k)), 1);
}

BENCHMARK(eigendecomposition)
    ->ArgNames({"d", "k"})
    ->Args({384, 50})
    ->Args({384, 384})
    ->Args({768, 50})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
}  // namespace lexiscope::bench
