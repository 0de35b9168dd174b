// The distribution over a language model's vocabulary beside OpenBLAS sgemm's rate: the product with the head and all
// that is made of the logits.
#include <benchmark/benchmark.h>

#include <vector>

#include "bench/limits.h"
#include "lexiscope/engine.h"

namespace lexiscope::bench {
namespace {

void certainty(benchmark::State& state) {
  const auto rows = static_cast<std::size_t>(state.range(0)), d = static_cast<std::size_t>(state.range(1)),
             vocabulary = static_cast<std::size_t>(state.range(2)), k = static_cast<std::size_t>(state.range(3));
  const auto engine = make_engine("cpu", {.threads = static_cast<int>(state.range(4))});
  std::vector<float> x(rows * d), head(vocabulary * d), values(rows * (k + 2));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 101) / 50 - 1;
  for (std::size_t i = 0; i < head.size(); ++i) head[i] = static_cast<float>(i * 2654435761u % 1009) / 5000 - 0.1f;
  std::vector<std::int32_t> ids(rows * (k + 1)), target(rows, 7);
  const auto packed = engine->pack({head.data(), vocabulary, d, d});
  for (auto _ : state)
    engine->certainty({.x = {x.data(), rows, d, d},
                       .head = packed.get(),
                       .target = {target.data(), rows},
                       .target_log_prob = {values.data(), rows},
                       .target_rank = {ids.data(), rows},
                       .entropy = {values.data() + rows, rows},
                       .top_id = {ids.data() + rows, rows, k, k},
                       .top_log_prob = {values.data() + 2 * rows, rows, k, k}});
  report_flops(state, 2.0 * static_cast<double>(rows * d * vocabulary), engine->threads());
}

void shapes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"T", "d", "V", "k", "threads"});
  for (const int threads : {0, 1})
    for (const int rows : {1, 16, 128, 512}) bench->Args({rows, 576, 49'152, 10, threads});
}

BENCHMARK(certainty)->Apply(shapes)->UseRealTime();

}  // namespace
}  // namespace lexiscope::bench
