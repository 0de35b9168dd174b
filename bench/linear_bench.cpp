// The linear layers of a small encoder beside OpenBLAS sgemm's rate, on all threads and on one; on the cuda engine
// products by what it chooses, by the project's kernels and by cuBLASLt, on either side of that choice's borders.
#include <benchmark/benchmark.h>

#include <array>
#include <vector>

#include "bench/cuda.h"
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

// On a GPU the time does depend on the values: constants take less power.
std::vector<float> random_values(std::size_t count) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i * 2654435761u % 65536) / 32768 - 1;
  return values;
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

void linear_cuda(benchmark::State& state, DType precision, ProductLibrary products) {
  const auto rows = static_cast<std::size_t>(state.range(0)), in = static_cast<std::size_t>(state.range(1)),
             out = static_cast<std::size_t>(state.range(2));
  const auto engine = make_cuda_engine(state, {.products = products});
  if (!engine) return;
  const std::vector<float> weights = random_values(out * in), inputs = random_values(rows * in);
  const auto packed = engine->pack({weights.data(), out, in, in}, precision);
  const Tensor x = to_engine(*engine, dense_view<const void>(inputs.data(), DType::f32, std::array{rows, in})),
               y = engine->allocate(DType::f32, {rows, out});
  time_enqueued(state, *engine, y, [&] {
    engine->linear({.x = x.matrix<float>(),
                    .weight = packed.get(),
                    .activation = static_cast<Activation>(state.range(3)),
                    .y = y.matrix<float>()});
  });
  report_rate(state, "FLOP", 2.0 * static_cast<double>(rows * in * out));
}

void cuda_shapes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"T", "in", "out", "activation"})->Apply(enqueued_on_the_device);
  for (const int rows : {128, 512, 4096}) {
    bench->Args({rows, 384, 1536, int(Activation::gelu_erf)});
    bench->Args({rows, 768, 3072, int(Activation::gelu_erf)});
    bench->Args({rows, 768, 768, int(Activation::none)});
    bench->Args({rows, 4096, 4096, int(Activation::none)});
  }
}

BENCHMARK_CAPTURE(linear_cuda, f32, DType::f32, ProductLibrary::automatic)->Apply(cuda_shapes);
BENCHMARK_CAPTURE(linear_cuda, bf16, DType::bf16, ProductLibrary::automatic)->Apply(cuda_shapes);
BENCHMARK_CAPTURE(linear_cuda, f32_own, DType::f32, ProductLibrary::own)->Apply(cuda_shapes);
BENCHMARK_CAPTURE(linear_cuda, bf16_own, DType::bf16, ProductLibrary::own)->Apply(cuda_shapes);
BENCHMARK_CAPTURE(linear_cuda, f32_cublas_lt, DType::f32, ProductLibrary::cublas_lt)->Apply(cuda_shapes);
BENCHMARK_CAPTURE(linear_cuda, bf16_cublas_lt, DType::bf16, ProductLibrary::cublas_lt)->Apply(cuda_shapes);

}  // namespace
}  // namespace lexiscope::bench
