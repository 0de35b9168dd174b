// Cosine statistics: without directions one pass over memory, beside a copy; with them a product in f64 beside sgemm
// and two exponentials for each point and direction. On the cuda engine, the rows' bytes a second beside an upload.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "bench/cuda.h"
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

void cosine_statistics_cuda(benchmark::State& state) {
  const auto n = static_cast<std::size_t>(state.range(0)), d = static_cast<std::size_t>(state.range(1)),
             m = static_cast<std::size_t>(state.range(2));
  const auto engine = make_cuda_engine(state);
  if (!engine) return;
  const std::vector<float> x(n * d, 0.1f);
  const Tensor directions = engine->allocate(DType::f64, {std::max<std::size_t>(m, 1), d}),
               norms = engine->allocate(DType::f32, {n});
  CosineStatisticsArgs args{.x = {x.data(), n, d, d}, .norms = norms.vector<float>()};
  if (m > 0) args.directions = directions.matrix<double>();
  time_calls(state, [&] { benchmark::DoNotOptimize(engine->cosine_statistics(args)); });
  report_upload(state, *engine, static_cast<double>(n * d * sizeof(float)));
}

BENCHMARK(cosine_statistics_cuda)
    ->ArgNames({"N", "d", "m"})
    ->Args({30522, 384, 0})
    ->Args({30522, 384, 384})
    ->Args({250000, 768, 768})
    ->Apply(on_the_device);
BENCHMARK(cosine_statistics)
    ->ArgNames({"N", "d", "m"})
    ->Args({30522, 384, 0})
    ->Args({30522, 384, 384})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
}  // namespace lexiscope::bench
