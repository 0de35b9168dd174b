// The linear layers of a small encoder beside OpenBLAS sgemm's rate, on all threads and on one.
#include <benchmark/benchmark.h>

#include <vector>

#include "bench/limits.h"
#include "lexiscope/engine.h"

namespace lexiscope::bench {
namespace {

void linear(benchmark::State& state) {
  const auto rows = static_cast<std::size_t>(state.range(0)), in = static_cast<std::size_t>(state.range(1)),
             out = static_cast<std::size_t>(state.range(2));
  const auto engine = make_engine("cpu", {.threads = static_cast<int>(state.range(4))});
  const std::vector<float> x(rows * in, 0.5f), weight(out * in, 0.01f), bias(out, 0.1f);
  std::vector<float> y(rows * out);
  const auto packed = engine->pack({weight.data(), out, in, in});
  for (auto _ : state)
    engine->linear({.x = {x.data(), rows, in, in},
                    .weight = packed.get(),
                    .bias = {bias.data(), out},
                    .activation = static_cast<Activation>(state.range(3)),
                    .y = {y.data(), rows, out, out}});
  report_flops(state, 2.0 * static_cast<double>(rows * in * out), engine->threads());
}

// Query, key and value together; the attention's output; the perceptron's two products.
void shapes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"T", "in", "out", "activation", "threads"});
  for (const int threads : {0, 1})
    for (const int rows : {16, 128, 512, 4096}) {
      bench->Args({rows, 384, 1152, int(Activation::none), threads});
      bench->Args({rows, 384, 384, int(Activation::none), threads});
      bench->Args({rows, 384, 1536, int(Activation::gelu_erf), threads});
      bench->Args({rows, 1536, 384, int(Activation::none), threads});
    }
}

BENCHMARK(linear)->Apply(shapes)->UseRealTime();

}  // namespace
}  // namespace lexiscope::bench
