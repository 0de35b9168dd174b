// The divergence's pairs a second, in double, and its cost law; the same on the cuda engine.
#include <benchmark/benchmark.h>

#include <array>
#include <random>
#include <vector>

#include "bench/cost_law.h"
#include "bench/cuda.h"
#include "bench/limits.h"
#include "lexiscope/engine.h"

namespace lexiscope::bench {
namespace {

struct Work {
  std::unique_ptr<Engine> engine;
  SparseMatrix affinities;
  std::vector<float> positions;

  // A ring, each point with the next: all pairs are what counts.
  explicit Work(std::size_t n, int threads = 0) : engine(make_engine("cpu", {.threads = threads})), positions(2 * n) {
    affinities = {engine->allocate(DType::i64, {n + 1}), engine->allocate(DType::i32, {n}),
                  engine->allocate(DType::f32, {n})};
    for (std::size_t i = 0; i < n; ++i) {
      affinities.row_offsets.vector<std::int64_t>().data[i + 1] = static_cast<std::int64_t>(i + 1);
      affinities.columns.vector<std::int32_t>().data[i] = static_cast<std::int32_t>((i + 1) % n);
      affinities.values.vector<float>().data[i] = 1.0f / static_cast<float>(n);
    }
    std::mt19937 random(1);
    std::normal_distribution<float> normal(0, 40);
    for (float& y : positions) y = normal(random);
  }

  void run() {
    benchmark::DoNotOptimize(
        engine->tsne_kl({.affinities = &affinities, .positions = {positions.data(), positions.size() / 2, 2, 2}}));
  }
};

void tsne_kl(benchmark::State& state) {
  Work work(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) work.run();
  report_pairs(state, static_cast<double>(state.range(0)) * static_cast<double>(state.range(0)));
}
BENCHMARK(tsne_kl)->ArgName("N")->Arg(30522)->Unit(benchmark::kMillisecond)->UseRealTime();

void tsne_kl_cuda(benchmark::State& state) {
  const auto engine = make_cuda_engine(state);
  if (!engine) return;
  const auto n = static_cast<std::size_t>(state.range(0));
  const Work work(n);
  const SparseMatrix affinities{.row_offsets = to_engine(*engine, work.affinities.row_offsets),
                                .columns = to_engine(*engine, work.affinities.columns),
                                .values = to_engine(*engine, work.affinities.values)};
  const Tensor positions =
      to_engine(*engine, dense_view<const void>(work.positions.data(), DType::f32, std::array{2 * n}));
  time_calls(state, [&] {
    benchmark::DoNotOptimize(
        engine->tsne_kl({.affinities = &affinities, .positions = {positions.vector<float>().data, n, 2, 2}}));
  });
  report_pairs(state, static_cast<double>(n) * static_cast<double>(n));
}
BENCHMARK(tsne_kl_cuda)->ArgName("N")->Arg(30522)->Arg(250000)->Apply(on_the_device);

void tsne_kl_law(benchmark::State& state) {
  const std::vector<std::size_t> sizes{8000, 16000, 32000};
  CostSweep sweep(sizes);
  std::vector<std::pair<std::size_t, Work>> works;
  for (const std::size_t n : sizes) works.emplace_back(n, Work(n, 1));
  for (auto _ : state)
    sweep.run([&](std::size_t n) {
      for (auto& [size, work] : works)
        if (size == n) work.run();
    });
  report_cost_law(state, 2, sweep.exponent());
}
BENCHMARK(tsne_kl_law)->Iterations(5)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace lexiscope::bench
