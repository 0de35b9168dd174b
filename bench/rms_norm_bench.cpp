// RMSNorm's bytes a second beside a plain copy of the same size, which is its limit.
#include <benchmark/benchmark.h>

#include <vector>

#include "bench/limits.h"
#include "lexiscope/engine.h"

namespace lexiscope::bench {
namespace {

void rms_norm(benchmark::State& state) {
  const auto rows = static_cast<std::size_t>(state.range(0)), d = static_cast<std::size_t>(state.range(1));
  const std::vector<float> x(rows * d, 1.0f), gain(d, 1.0f);
  std::vector<float> y(rows * d);
  const auto engine = make_engine("cpu");
  const RmsNormArgs args{.x = {x.data(), rows, d, d}, .gain = {gain.data(), d}, .y = {y.data(), rows, d, d}};
  for (auto _ : state) engine->rms_norm(args);
  report_bytes(state, 2.0 * static_cast<double>(rows * d * sizeof(float)));
}

BENCHMARK(rms_norm)->ArgNames({"T", "d"})->ArgsProduct({{16, 128, 512, 4096, 65536}, {384, 576}})->UseRealTime();

}  // namespace
}  // namespace lexiscope::bench
