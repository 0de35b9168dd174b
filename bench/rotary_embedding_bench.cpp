// The rotary embedding's bytes a second beside a plain copy of the same size, which is its limit.
#include <benchmark/benchmark.h>

#include <vector>

#include "bench/limits.h"
#include "lexiscope/engine.h"

namespace lexiscope::bench {
namespace {

void rotary_embedding(benchmark::State& state, RotaryLayout layout) {
  constexpr std::size_t kHeadSize = 64, kPairs = kHeadSize / 2;
  const auto rows = static_cast<std::size_t>(state.range(0)), heads = static_cast<std::size_t>(state.range(1));
  const std::size_t width = heads * kHeadSize;
  std::vector<float> x(rows * width, 1.0f);
  const std::vector<float> cosine(rows * kPairs, 0.6f), sine(rows * kPairs, 0.8f);
  const auto engine = make_engine("cpu");
  const RotaryEmbeddingArgs args{.x = {x.data(), rows, width, width},
                                 .heads = heads,
                                 .cosine = {cosine.data(), rows, kPairs, kPairs},
                                 .sine = {sine.data(), rows, kPairs, kPairs},
                                 .layout = layout};
  for (auto _ : state) engine->rotary_embedding(args);
  report_bytes(state, static_cast<double>((2 * width + 2 * kPairs) * rows * sizeof(float)));
}

BENCHMARK_CAPTURE(rotary_embedding, halves, RotaryLayout::halves)
    ->ArgNames({"T", "heads"})
    ->ArgsProduct({{16, 128, 512, 4096}, {6, 9}})
    ->UseRealTime();
BENCHMARK_CAPTURE(rotary_embedding, interleaved, RotaryLayout::interleaved)
    ->ArgNames({"T", "heads"})
    ->ArgsProduct({{16, 128, 512, 4096}, {6, 9}})
    ->UseRealTime();

}  // namespace
}  // namespace lexiscope::bench
