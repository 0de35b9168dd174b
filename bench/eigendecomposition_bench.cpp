// The eigendecomposition's f64 operations a second beside sgemm on the one thread that it runs on; on the cuda engine
// by themselves.
#include <benchmark/benchmark.h>

#include <array>
#include <vector>

#include "bench/cuda.h"
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

// To tridiagonal form 4/3 d^3, its vectors by divide and conquer 4/3 d^3 (less where it deflates), k turned back.
double operations(std::size_t d, std::size_t k) {
  const auto size = static_cast<double>(d);
  return size * size * (8.0 / 3 * size + 2 * static_cast<double>(k));
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
  report_flops(state, operations(d, k), 1);
}

void eigendecomposition_cuda(benchmark::State& state) {
  const auto d = static_cast<std::size_t>(state.range(0)), k = static_cast<std::size_t>(state.range(1));
  const auto engine = make_cuda_engine(state);
  if (!engine) return;
  const auto values = positive_matrix(d);
  const Tensor matrix = to_engine(*engine, dense_view<const void>(values.data(), DType::f64, std::array{d, d})),
               eigenvalues = engine->allocate(DType::f64, {d}), eigenvectors = engine->allocate(DType::f64, {k, d});
  time_calls(state, [&] {
    engine->eigendecomposition({.matrix = matrix.matrix<double>(),
                                .eigenvalues = eigenvalues.vector<double>(),
                                .eigenvectors = eigenvectors.matrix<double>()});
    wait(*engine, eigenvectors);
  });
  report_rate(state, "FLOP", operations(d, k));
}

BENCHMARK(eigendecomposition)
    ->ArgNames({"d", "k"})
    ->Args({384, 50})
    ->Args({384, 384})
    ->Args({768, 50})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK(eigendecomposition_cuda)
    ->ArgNames({"d", "k"})
    ->Args({384, 384})
    ->Args({768, 50})
    ->Args({4096, 50})
    ->Apply(on_the_device);

}  // namespace
}  // namespace lexiscope::bench
