// What it costs to see the whole map of one long head: statistics, received attention, distances, pools and peaks,
// beside plain attention; and the memory it takes. On the cuda engine the time of both.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <memory>
#include <vector>

#include "bench/cost_law.h"
#include "bench/cuda.h"
#include "bench/inputs.h"
#include "bench/limits.h"
#include "host/core/memory_limit.h"
#include "lexiscope/engine.h"

namespace lexiscope::bench {
namespace {

constexpr std::size_t kCells = 64, kTop = 10;

/// One head's inputs and all that is read off its map.
class Head {
 public:
  Head(std::unique_ptr<Engine> engine, std::size_t tokens, std::size_t d)
      : engine_(std::move(engine)),
        query_(normal(tokens, d, 1)),
        key_(normal(tokens, d, 2)),
        value_(normal(tokens, d, 3)),
        out_(engine_->allocate(DType::f32, {1, tokens, d})),
        rows_(engine_->allocate(DType::f32, {5, tokens})),
        argmax_(engine_->allocate(DType::i32, {1, tokens})),
        pooled_(engine_->allocate(DType::f32, {2, kCells, kCells})),
        top_index_(engine_->allocate(DType::i32, {1, tokens, kTop})),
        top_weight_(engine_->allocate(DType::f32, {1, tokens, kTop})),
        scale_(1 / std::sqrt(static_cast<float>(d))) {}

  void plain() { engine_->attention({.query = query_, .key = key_, .value = value_, .out = out_, .scale = scale_}); }

  void observe() {
    const MatrixView<float> rows = rows_.matrix<float>();
    engine_->attention_with_map({.query = query_,
                                 .key = key_,
                                 .value = value_,
                                 .out = out_,
                                 .scale = scale_,
                                 .statistics = {.log_sum_exp = rows.rows_from(0, 1),
                                                .entropy = rows.rows_from(1, 1),
                                                .maximum = rows.rows_from(2, 1),
                                                .argmax = argmax_.matrix<std::int32_t>()}},
                                {.query = query_,
                                 .key = key_,
                                 .scale = scale_,
                                 .log_sum_exp = rows.rows_from(0, 1),
                                 .received = rows.rows_from(3, 1),
                                 .by_distance = rows.rows_from(4, 1),
                                 .pooled_mean = cells(0),
                                 .pooled_maximum = cells(1),
                                 .top_index = top_index_,
                                 .top_weight = top_weight_});
  }

  void time_enqueued(benchmark::State& state, bool observed) {
    bench::time_enqueued(state, *engine_, out_, [&] { observed ? observe() : plain(); });
  }

  double plain_flops() const {
    const auto tokens = static_cast<double>(query_.view().shape[1]), d = static_cast<double>(query_.view().shape[2]);
    return 4 * tokens * tokens * d;
  }
  int threads() const { return engine_->threads(); }

 private:
  Tensor normal(std::size_t tokens, std::size_t d, unsigned seed) {
    const std::vector<float> values = normal_values(tokens * d, seed);
    return to_engine(*engine_,
                     dense_view<const void>(values.data(), DType::f32, std::array{std::size_t{1}, tokens, d}));
  }
  TensorView cells(std::size_t which) {
    TensorView view = pooled_;
    view.data = static_cast<float*>(view.data) + which * kCells * kCells;
    view.shape[0] = 1;
    return view;
  }

  std::unique_ptr<Engine> engine_;
  Tensor query_, key_, value_, out_, rows_, argmax_, pooled_, top_index_, top_weight_;
  float scale_;
};

void attention_map(benchmark::State& state, bool observed) {
  Head head(make_engine("cpu"), static_cast<std::size_t>(state.range(0)), static_cast<std::size_t>(state.range(1)));
  std::ofstream("/proc/self/clear_refs") << 5;  // the peak begins anew: earlier work may have held more
  const std::uint64_t before = peak_memory();
  const auto run = [&] { observed ? head.observe() : head.plain(); };
  run();
  for (auto _ : state) run();
  state.counters["extra_bytes"] = static_cast<double>(peak_memory() - before);
  report_flops(state, head.plain_flops(), head.threads());
}

void sizes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"T", "d"})->Args({2048, 64})->Args({16384, 64})->UseRealTime()->Unit(benchmark::kMillisecond);
}
BENCHMARK_CAPTURE(attention_map, plain, false)->Apply(sizes);
BENCHMARK_CAPTURE(attention_map, observed, true)->Apply(sizes);

void attention_map_cuda(benchmark::State& state, bool observed) {
  auto engine = make_cuda_engine(state);
  if (!engine) return;
  Head head(std::move(engine), static_cast<std::size_t>(state.range(0)), static_cast<std::size_t>(state.range(1)));
  head.time_enqueued(state, observed);
  report_rate(state, "FLOP", head.plain_flops());
}

void cuda_sizes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"T", "d"})->Args({16384, 64})->Apply(enqueued_on_the_device);
}
BENCHMARK_CAPTURE(attention_map_cuda, plain, false)->Apply(cuda_sizes);
BENCHMARK_CAPTURE(attention_map_cuda, observed, true)->Apply(cuda_sizes);

// The ratio of the least costs, both taken in turn.
void attention_map_cost(benchmark::State& state) {
  Head head(make_engine("cpu"), static_cast<std::size_t>(state.range(0)), static_cast<std::size_t>(state.range(1)));
  CostSweep sweep({0, 1}, wall_seconds);
  const auto run = [&](std::size_t observed) { observed ? head.observe() : head.plain(); };
  sweep.run(run);
  for (auto _ : state) sweep.run(run);
  state.counters["over_plain"] = sweep.least_seconds(1) / sweep.least_seconds(0);
}
BENCHMARK(attention_map_cost)->Apply(sizes);

}  // namespace
}  // namespace lexiscope::bench
