// The whole of a principal component analysis, as `lexiscope project` does it: covariance, eigenvectors, scores.
#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include "lexiscope/engine.h"

namespace lexiscope::bench {
namespace {

void pca(benchmark::State& state) {
  const auto n = static_cast<std::size_t>(state.range(0)), d = static_cast<std::size_t>(state.range(1)),
             k = static_cast<std::size_t>(state.range(2));
  std::mt19937 random(0);
  std::normal_distribution<float> normal;
  std::vector<float> x(n * d), scores(n * k);
  for (float& value : x) value = normal(random);
  std::vector<double> mean(d), covariance(d * d), eigenvalues(d), components(k * d);
  const auto engine = make_engine("cpu");
  for (auto _ : state) {
    engine->covariance(
        {.x = {x.data(), n, d, d}, .mean = {mean.data(), d}, .covariance = {covariance.data(), d, d, d}});
    engine->eigendecomposition({.matrix = {covariance.data(), d, d, d},
                                .eigenvalues = {eigenvalues.data(), d},
                                .eigenvectors = {components.data(), k, d, d}});
    engine->projection({.x = {x.data(), n, d, d},
                        .mean = {mean.data(), d},
                        .components = {components.data(), k, d, d},
                        .scores = {scores.data(), n, k, k}});
  }
}

BENCHMARK(pca)
    ->ArgNames({"N", "d", "components"})
    ->Args({30522, 384, 50})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
}  // namespace lexiscope::bench
