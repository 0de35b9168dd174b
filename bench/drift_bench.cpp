// Drift's bytes a second beside a plain copy of the same size; it reads only, so it may pass the copy.
#include <benchmark/benchmark.h>

#include <vector>

#include "bench/limits.h"
#include "lexiscope/engine.h"

namespace lexiscope::bench {
namespace {

void drift(benchmark::State& state) {
  const auto rows = static_cast<std::size_t>(state.range(0)), d = static_cast<std::size_t>(state.range(1));
  const std::vector<float> before(rows * d, 1.0f), after(rows * d, 1.5f);
  std::vector<float> norm(rows), relative(rows), cosine(rows);
  const auto engine = make_engine("cpu");
  const DriftArgs args{.before = {before.data(), rows, d, d},
                       .after = {after.data(), rows, d, d},
                       .norm = {norm.data(), rows},
                       .relative = {relative.data(), rows},
                       .cosine = {cosine.data(), rows}};
  for (auto _ : state) engine->drift(args);
  report_bytes(state, 2.0 * static_cast<double>(rows * d * sizeof(float)));
}

BENCHMARK(drift)->ArgNames({"T", "d"})->ArgsProduct({{16, 128, 512, 4096, 65536}, {384}})->UseRealTime();

}  // namespace
}  // namespace lexiscope::bench
