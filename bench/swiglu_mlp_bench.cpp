// The gated perceptron of a small language model beside OpenBLAS sgemm's rate, on all threads and on one.
#include <benchmark/benchmark.h>

#include <vector>

#include "bench/limits.h"
#include "lexiscope/engine.h"

namespace lexiscope::bench {
namespace {

void swiglu_mlp(benchmark::State& state) {
  const auto rows = static_cast<std::size_t>(state.range(0)), d = static_cast<std::size_t>(state.range(1)),
             m = static_cast<std::size_t>(state.range(2));
  const auto engine = make_engine("cpu", {.threads = static_cast<int>(state.range(3))});
  const std::vector<float> x(rows * d, 0.5f), weight(m * d, 0.01f);
  std::vector<float> y(rows * d);
  const auto gate = engine->pack({weight.data(), m, d, d}), up = engine->pack({weight.data(), m, d, d}),
             down = engine->pack({weight.data(), d, m, m});
  for (auto _ : state)
    engine->swiglu_mlp({.x = {x.data(), rows, d, d},
                        .gate = gate.get(),
                        .up = up.get(),
                        .down = down.get(),
                        .residual = {x.data(), rows, d, d},
                        .y = {y.data(), rows, d, d}});
  report_flops(state, 6.0 * static_cast<double>(rows * d * m), engine->threads());
}

void shapes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"T", "d", "m", "threads"});
  for (const int threads : {0, 1})
    for (const int rows : {1, 16, 128, 512, 4096}) bench->Args({rows, 576, 1536, threads});
}

BENCHMARK(swiglu_mlp)->Apply(shapes)->UseRealTime();

}  // namespace
}  // namespace lexiscope::bench
