// Conversion's bytes a second beside a plain copy of the same size, which is its limit.
#include <benchmark/benchmark.h>

#include <vector>

#include "bench/limits.h"
#include "lexiscope/engine.h"

namespace lexiscope::bench {
namespace {

void convert(benchmark::State& state, DType from_type, DType to_type) {
  const auto rows = static_cast<std::size_t>(state.range(0)), columns = static_cast<std::size_t>(state.range(1));
  const auto engine = make_engine("cpu");
  const Tensor from = engine->allocate(from_type, {rows, columns}), to = engine->allocate(to_type, {rows, columns});
  for (auto _ : state) engine->convert({.from = from, .to = to});
  report_bytes(state, static_cast<double>(rows * columns * (size_of(from_type) + size_of(to_type))));
}

void shapes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"rows", "columns"})->ArgsProduct({{16, 128, 512, 4096, 65536}, {384}})->UseRealTime();
}

BENCHMARK_CAPTURE(convert, f32_to_f32, DType::f32, DType::f32)->Apply(shapes);
BENCHMARK_CAPTURE(convert, f32_to_bf16, DType::f32, DType::bf16)->Apply(shapes);
BENCHMARK_CAPTURE(convert, bf16_to_f32, DType::bf16, DType::f32)->Apply(shapes);

}  // namespace
}  // namespace lexiscope::bench
