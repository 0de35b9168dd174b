// Cosine statistics: without directions one pass over memory, beside a copy; with them a product in f64 beside sgemm
// and two exponentials for each point and direction.
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstddef>
#include <vector>

#include "bench/limits.h"
#include "lexiscope/engine.h"

namespace lexiscope::bench {
namespace {

void cosine_statistics(benchmark::State& state) {
  const auto n = static_cast<std::size_t>(state.range(0)), d = static_cast<std::size_t>(state.range(1)),
             m = static_cast<std::size_t>(state.range(2));
  std::vector<float> x(n * d), norms(n);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 2654435761u % 1024) / 5120 - 0.1f;
  const std::vector<double> directions(m * d, 1 / std::sqrt(static_cast<double>(d)));
  CosineStatisticsArgs args{.x = {x.data(), n, d, d}, .norms = {norms.data(), n}};
  if (m > 0) args.directions = {directions.data(), m, d, d};
  const auto engine = make_engine("cpu");
  for (auto _ : state) benchmark::DoNotOptimize(engine->cosine_statistics(args));
  if (m > 0)
    report_flops(state, 2.0 * static_cast<double>(n * d * m));
  else
    report_bytes(state, static_cast<double>(n * d * sizeof(float)));
}

BENCHMARK(cosine_statistics)
    ->ArgNames({"N", "d", "m"})
    ->Args({30522, 384, 0})
    ->Args({30522, 384, 384})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
}  // namespace lexiscope::bench
