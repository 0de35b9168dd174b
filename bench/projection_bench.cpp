// The projection's f64 operations a second beside sgemm, whose rate in f32 is twice what f64 can reach.
#include <benchmark/benchmark.h>

#include <vector>

#include "bench/limits.h"
#include "lexiscope/engine.h"

namespace lexiscope::bench {
namespace {

void projection(benchmark::State& state) {
  const auto n = static_cast<std::size_t>(state.range(0)), d = static_cast<std::size_t>(state.range(1)),
             k = static_cast<std::size_t>(state.range(2));
  std::vector<float> x(n * d, 1.0f), scores(n * k);
  std::vector<double> mean(d, 0.5), components(k * d, 0.25);
  const auto engine = make_engine("cpu");
  for (auto _ : state)
    engine->projection({.x = {x.data(), n, d, d},
                        .mean = {mean.data(), d},
                        .components = {components.data(), k, d, d},
                        .scores = {scores.data(), n, k, k}});
  report_flops(state, 2.0 * static_cast<double>(n * d * k));
}

BENCHMARK(projection)
    ->ArgNames({"N", "d", "k"})
    ->Args({30522, 384, 50})
    ->Args({30522, 384, 384})
    ->Args({30522, 384, 2})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
}  // namespace lexiscope::bench
