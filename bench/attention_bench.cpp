// Attention beside OpenBLAS sgemm on as many threads, what its statistics and its mask change, and whether its cost
// follows O(L T^2 d); on the cuda engine its operations a second.
#include <benchmark/benchmark.h>

#include <array>
#include <bit>
#include <cmath>
#include <memory>
#include <vector>

#include "bench/cost_law.h"
#include "bench/cuda.h"
#include "bench/inputs.h"
#include "bench/limits.h"
#include "lexiscope/engine.h"

namespace lexiscope::bench {
namespace {

// One layer's worth of attention: inputs, outputs, and the engine that runs it.
class Layer {
 public:
  Layer(DType dtype, std::size_t heads, std::size_t tokens, std::size_t d, int threads = 0)
      : Layer(make_engine("cpu", {.threads = threads}), dtype, heads, tokens, d) {}
  Layer(std::unique_ptr<Engine> engine, DType dtype, std::size_t heads, std::size_t tokens, std::size_t d)
      : engine_(std::move(engine)),
        inputs_{allocate_normal(dtype, heads, tokens, d, 1), allocate_normal(dtype, heads, tokens, d, 2),
                allocate_normal(dtype, heads, tokens, d, 3)},
        out_(engine_->allocate(DType::f32, {heads, tokens, d})),
        statistics_(engine_->allocate(DType::f32, {3 * heads, tokens})),
        argmax_(engine_->allocate(DType::i32, {heads, tokens})),
        args_{.query = inputs_[0],
              .key = inputs_[1],
              .value = inputs_[2],
              .out = out_,
              .scale = 1.0f / std::sqrt(static_cast<float>(d))} {}

  void set_causal() { args_.mask = AttentionMask::causal; }
  void want_statistics(bool argmax = true) {
    const auto rows = statistics_.matrix<float>();
    const std::size_t heads = rows.rows / 3;
    args_.statistics = {.log_sum_exp = rows.rows_from(0, heads),
                        .entropy = rows.rows_from(heads, heads),
                        .maximum = rows.rows_from(2 * heads, heads),
                        .argmax = argmax ? argmax_.matrix<std::int32_t>() : MatrixView<std::int32_t>{}};
  }
  /// On the first tokens of every head only.
  void run_on(std::size_t tokens) {
    AttentionArgs args = args_;
    args.query.shape[1] = args.key.shape[1] = args.value.shape[1] = args.out.shape[1] = tokens;
    engine_->attention(args);
  }
  void run() { engine_->attention(args_); }
  void time_enqueued(benchmark::State& state) {
    bench::time_enqueued(state, *engine_, out_, [&] { run(); });
  }

  /// Two products a visible pair of tokens, a multiplication and an addition for each column.
  double flops() const {
    const auto heads = static_cast<double>(args_.query.shape[0]), tokens = static_cast<double>(args_.query.shape[1]),
               d = static_cast<double>(args_.query.shape[2]);
    const double pairs = args_.mask == AttentionMask::causal ? tokens * (tokens + 1) / 2 : tokens * tokens;
    return 4 * heads * pairs * d;
  }

 private:
  Tensor allocate_normal(DType dtype, std::size_t heads, std::size_t tokens, std::size_t d, unsigned seed) {
    const std::vector<float> values = normal_values(heads * tokens * d, seed);
    std::vector<std::uint16_t> halves;
    if (dtype == DType::bf16)  // their upper halves: rounded towards zero
      for (const float x : values) halves.push_back(static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(x) >> 16));
    const void* data = dtype == DType::bf16 ? static_cast<const void*>(halves.data()) : values.data();
    return to_engine(*engine_, dense_view(data, dtype, std::array{heads, tokens, d}));
  }

  std::unique_ptr<Engine> engine_;
  Tensor inputs_[3];
  Tensor out_, statistics_, argmax_;
  AttentionArgs args_;
};

enum class Kind { plain, statistics, causal };

void attention(benchmark::State& state, DType dtype, Kind kind, int threads) {
  Layer layer(dtype, 8, static_cast<std::size_t>(state.range(0)), static_cast<std::size_t>(state.range(1)), threads);
  if (kind == Kind::causal) layer.set_causal();
  if (kind == Kind::statistics) layer.want_statistics();
  layer.run();  // allocates the workspace and starts the threads
  for (auto _ : state) layer.run();
  report_flops(state, layer.flops(), threads);
}

void sizes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"T", "d"})->ArgsProduct({{512, 2048}, {32, 64, 128}})->UseRealTime()->Unit(benchmark::kMillisecond);
}
BENCHMARK_CAPTURE(attention, plain, DType::f32, Kind::plain, 0)->Apply(sizes);
BENCHMARK_CAPTURE(attention, statistics, DType::f32, Kind::statistics, 0)->Apply(sizes);
BENCHMARK_CAPTURE(attention, causal, DType::f32, Kind::causal, 0)->Apply(sizes);
BENCHMARK_CAPTURE(attention, bf16, DType::bf16, Kind::plain, 0)->Apply(sizes);
BENCHMARK_CAPTURE(attention, bf16_statistics, DType::bf16, Kind::statistics, 0)->Apply(sizes);
BENCHMARK_CAPTURE(attention, plain_1_thread, DType::f32, Kind::plain, 1)->Apply(sizes);
BENCHMARK_CAPTURE(attention, statistics_1_thread, DType::f32, Kind::statistics, 1)->Apply(sizes);
BENCHMARK_CAPTURE(attention, bf16_1_thread, DType::bf16, Kind::plain, 1)->Apply(sizes);

void attention_cuda(benchmark::State& state, DType dtype, Kind kind) {
  auto engine = make_cuda_engine(state);
  if (!engine) return;
  Layer layer(std::move(engine), dtype, 16, static_cast<std::size_t>(state.range(0)),
              static_cast<std::size_t>(state.range(1)));
  if (kind == Kind::causal) layer.set_causal();
  if (kind == Kind::statistics) layer.want_statistics(false);  // the maximum's position takes a second pass
  layer.time_enqueued(state);
  report_rate(state, "FLOP", layer.flops());
}

void cuda_sizes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"T", "d"})->ArgsProduct({{512, 4096, 16384}, {64, 128}})->Apply(enqueued_on_the_device);
}
BENCHMARK_CAPTURE(attention_cuda, bf16, DType::bf16, Kind::plain)->Apply(cuda_sizes);
BENCHMARK_CAPTURE(attention_cuda, bf16_statistics, DType::bf16, Kind::statistics)->Apply(cuda_sizes);
BENCHMARK_CAPTURE(attention_cuda, bf16_causal, DType::bf16, Kind::causal)->Apply(cuda_sizes);
BENCHMARK_CAPTURE(attention_cuda, f32, DType::f32, Kind::plain)->Apply(cuda_sizes);

// The price of the statistics: the ratio of the least costs, both taken in turn.
void attention_statistics_cost(benchmark::State& state, DType dtype) {
  const auto tokens = static_cast<std::size_t>(state.range(0)), d = static_cast<std::size_t>(state.range(1));
  Layer plain(dtype, 8, tokens, d, 1), with_statistics(dtype, 8, tokens, d, 1);
  with_statistics.want_statistics();
  CostSweep sweep({0, 1});
  const auto run = [&](std::size_t statistics) { (statistics ? with_statistics : plain).run(); };
  sweep.run(run);
  for (auto _ : state) sweep.run(run);
  state.counters["over_plain"] = sweep.least_seconds(1) / sweep.least_seconds(0);
}
BENCHMARK_CAPTURE(attention_statistics_cost, f32, DType::f32)->Apply(sizes);
BENCHMARK_CAPTURE(attention_statistics_cost, bf16, DType::bf16)->Apply(sizes);

// O(L T^2 d): each law sweeps one letter and holds the others.
void report_law(benchmark::State& state, double law, std::vector<std::size_t> letter, auto&& work) {
  CostSweep sweep(std::move(letter));
  sweep.run(work);
  for (auto _ : state) sweep.run(work);
  report_cost_law(state, law, sweep.exponent());
}

void attention_law_tokens(benchmark::State& state) {
  Layer layer(DType::f32, 2, 4096, 64, 1);
  report_law(state, 2, {512, 1024, 2048, 4096}, [&](std::size_t tokens) { layer.run_on(tokens); });
}

void attention_law_layers(benchmark::State& state) {
  Layer layer(DType::f32, 2, 1024, 64, 1);
  report_law(state, 1, {1, 2, 4, 8, 16}, [&](std::size_t layers) {
    for (std::size_t l = 0; l < layers; ++l) layer.run();
  });
}

// A wider model has more heads of the same size.
void attention_law_width(benchmark::State& state) {
  std::vector<Layer> layers;
  for (const std::size_t heads : {2, 4, 8, 16}) layers.emplace_back(DType::f32, heads, 1024, 64, 1);
  report_law(state, 1, {128, 256, 512, 1024},
             [&](std::size_t width) { layers[static_cast<std::size_t>(std::countr_zero(width / 128))].run(); });
}

void sweeps(benchmark::internal::Benchmark* bench) {
  bench->Iterations(5)->UseRealTime()->Unit(benchmark::kMillisecond);
}
BENCHMARK(attention_law_tokens)->Apply(sweeps);
BENCHMARK(attention_law_layers)->Apply(sweeps);
BENCHMARK(attention_law_width)->Apply(sweeps);

}  // namespace
}  // namespace lexiscope::bench
