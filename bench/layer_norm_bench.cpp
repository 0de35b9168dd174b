// LayerNorm's bytes a second beside a plain copy of the same size, which is its limit; on the cuda engine the bytes
// alone.
#include <benchmark/benchmark.h>

#include <vector>

#include "bench/cuda.h"
#include "bench/limits.h"
#include "lexiscope/engine.h"

namespace lexiscope::bench {
namespace {

void layer_norm(benchmark::State& state) {
  const auto rows = static_cast<std::size_t>(state.range(0)), d = static_cast<std::size_t>(state.range(1));
  const bool with_residual = state.range(2) != 0;
  const std::vector<float> x(rows * d, 1.0f), residual(rows * d, 0.5f), gain(d, 1.0f), bias(d, 0.1f);
  std::vector<float> y(rows * d);
  const auto engine = make_engine("cpu");
  LayerNormArgs args{
      .x = {x.data(), rows, d, d}, .gain = {gain.data(), d}, .bias = {bias.data(), d}, .y = {y.data(), rows, d, d}};
  if (with_residual) args.residual = {residual.data(), rows, d, d};
  for (auto _ : state) engine->layer_norm(args);
  report_bytes(state, (with_residual ? 3.0 : 2.0) * static_cast<double>(rows * d * sizeof(float)));
}

void layer_norm_cuda(benchmark::State& state) {
  const auto rows = static_cast<std::size_t>(state.range(0)), d = static_cast<std::size_t>(state.range(1));
  const auto engine = make_cuda_engine(state);
  if (!engine) return;
  const Tensor x = engine->allocate(DType::f32, {rows, d}), residual = engine->allocate(DType::f32, {rows, d}),
               y = engine->allocate(DType::f32, {rows, d}), gain = engine->allocate(DType::f32, {d}),
               bias = engine->allocate(DType::f32, {d});
  LayerNormArgs args{
      .x = x.matrix<float>(), .gain = gain.vector<float>(), .bias = bias.vector<float>(), .y = y.matrix<float>()};
  if (state.range(2) != 0) args.residual = residual.matrix<float>();
  time_enqueued(state, *engine, y, [&] { engine->layer_norm(args); });
  report_rate(state, "bytes", (state.range(2) != 0 ? 3.0 : 2.0) * static_cast<double>(rows * d * sizeof(float)));
}

BENCHMARK(layer_norm_cuda)
    ->ArgNames({"T", "d", "residual"})
    ->ArgsProduct({{65536}, {384, 768, 4096}, {0, 1}})
    ->Apply(enqueued_on_the_device);
BENCHMARK(layer_norm)
    ->ArgNames({"T", "d", "residual"})
    ->ArgsProduct({{16, 128, 512, 4096, 65536}, {384}, {0, 1}})
    ->Args({4096, 768, 0})
    ->UseRealTime();

}  // namespace
}  // namespace lexiscope::bench
