// The projection's f64 operations a second beside sgemm, whose rate in f32 is twice what f64 can reach; on the cuda
// engine the rows' bytes a second beside an upload.
#include <benchmark/benchmark.h>

#include <vector>

#include "bench/cuda.h"
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

void projection_cuda(benchmark::State& state) {
  const auto n = static_cast<std::size_t>(state.range(0)), d = static_cast<std::size_t>(state.range(1)),
             k = static_cast<std::size_t>(state.range(2));
  const auto engine = make_cuda_engine(state);
  if (!engine) return;
  const std::vector<float> x(n * d, 1.0f);
  const Tensor mean = engine->allocate(DType::f64, {d}), components = engine->allocate(DType::f64, {k, d}),
               scores = engine->allocate(DType::f32, {n, k});
  time_calls(state, [&] {
    engine->projection({.x = {x.data(), n, d, d},
                        .mean = mean.vector<double>(),
                        .components = components.matrix<double>(),
                        .scores = scores.matrix<float>()});
    wait(*engine, scores);
  });
  report_upload(state, *engine, static_cast<double>(n * d * sizeof(float)));
}

BENCHMARK(projection_cuda)
    ->ArgNames({"N", "d", "k"})
    ->Args({30522, 384, 50})
    ->Args({250000, 768, 50})
    ->Apply(on_the_device);
BENCHMARK(projection)
    ->ArgNames({"N", "d", "k"})
    ->Args({30522, 384, 50})
    ->Args({30522, 384, 384})
    ->Args({30522, 384, 2})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
}  // namespace lexiscope::bench
