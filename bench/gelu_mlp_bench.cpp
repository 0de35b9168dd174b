// The perceptron of a small encoder beside OpenBLAS sgemm's rate, on all threads and on one.
#include <benchmark/benchmark.h>

#include <vector>

#include "bench/limits.h"
#include "lexiscope/engine.h"

namespace lexiscope::bench {
namespace {

void gelu_mlp(benchmark::State& state) {
  const auto rows = static_cast<std::size_t>(state.range(0)), d = static_cast<std::size_t>(state.range(1)),
             m = static_cast<std::size_t>(state.range(2));
  const auto engine = make_engine("cpu", {.threads = static_cast<int>(state.range(4))});
  const std::vector<float> x(rows * d, 0.5f), weight(m * d, 0.01f), up_bias(m, 0.1f), down_bias(d, 0.1f);
  std::vector<float> y(rows * d);
  const auto up = engine->pack({weight.data(), m, d, d}), down = engine->pack({weight.data(), d, m, m});
  for (auto _ : state)
    engine->gelu_mlp({.x = {x.data(), rows, d, d},
                      .up = up.get(),
                      .up_bias = {up_bias.data(), m},
                      .down = down.get(),
                      .down_bias = {down_bias.data(), d},
                      .activation = static_cast<Activation>(state.range(3)),
                      .residual = {x.data(), rows, d, d},
                      .y = {y.data(), rows, d, d}});
  report_flops(state, 4.0 * static_cast<double>(rows * d * m), engine->threads());
}

void shapes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"T", "d", "m", "activation", "threads"});
  for (const int threads : {0, 1})
    for (const int rows : {16, 128, 512, 4096}) bench->Args({rows, 384, 1536, int(Activation::gelu_erf), threads});
  bench->Args({512, 384, 1536, int(Activation::gelu_tanh), 0});
  bench->Args({512, 768, 3072, int(Activation::gelu_erf), 0});
}

BENCHMARK(gelu_mlp)->Apply(shapes)->UseRealTime();

}  // namespace
}  // namespace lexiscope::bench
