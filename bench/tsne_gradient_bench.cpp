// t-SNE's repulsion over all pairs beside sgemm, its cost law, the grid on synthetic maps, and a whole iteration; on
// the cuda engine pairs a second, and ten iterations a call as `project` has them.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <vector>

#include "bench/cost_law.h"
#include "bench/cuda.h"
#include "bench/limits.h"
#include "lexiscope/engine.h"

namespace lexiscope::bench {
namespace {

// n points with `degree` neighbours each, all of the same weight: point i with i + 1, i + 2, ..., in a ring.
SparseMatrix ring_affinities(Engine& engine, std::size_t n, std::size_t degree) {
  SparseMatrix matrix{engine.allocate(DType::i64, {n + 1}), engine.allocate(DType::i32, {n * degree}),
                      engine.allocate(DType::f32, {n * degree})};
#pragma omp parallel for
  for (std::size_t i = 0; i < n; ++i) {
    std::int32_t* row = matrix.columns.vector<std::int32_t>().data + i * degree;
    for (std::size_t k = 0; k < degree; ++k)
      row[k] = static_cast<std::int32_t>((i + n + k + (k >= degree / 2 ? 1 : 0) - degree / 2) % n);
    std::sort(row, row + degree);
    matrix.row_offsets.vector<std::int64_t>().data[i + 1] = static_cast<std::int64_t>((i + 1) * degree);
  }
  std::fill_n(matrix.values.vector<float>().data, n * degree, 1.0f / static_cast<float>(n * degree));
  return matrix;
}

// A map as a finished run has it: about one point a unit of area, in groups of 500 that lie anywhere in a square.
std::vector<float> grouped_map(std::size_t n, std::size_t dimensions) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 6);
  const float side = std::pow(static_cast<float>(n), 1.0f / static_cast<float>(dimensions));
  std::uniform_real_distribution<float> place(-side / 2, side / 2);
  std::vector<float> map(n * dimensions), centre(dimensions);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t c = 0; c < dimensions; ++c) {
      if (i % 500 == 0) centre[c] = place(random);
      map[i * dimensions + c] = centre[c] + normal(random);
    }
  return map;
}

struct Work {
  std::unique_ptr<Engine> engine;
  std::size_t n, dimensions;
  std::vector<float> positions, update, gains, gradient;
  std::unique_ptr<TsnePlan> plan;

  Work(std::size_t n_, std::size_t dimensions_, std::size_t degree, Repulsion repulsion, int threads = 0)
      : engine(make_engine("cpu", {.threads = threads})),
        n(n_),
        dimensions(dimensions_),
        positions(grouped_map(n, dimensions)),
        update(positions.size()),
        gains(positions.size(), 1.0f),
        gradient(positions.size()) {
    const SparseMatrix p = ring_affinities(*engine, n, degree);
    plan = engine->plan_tsne({.affinities = &p, .dimensions = dimensions, .repulsion = repulsion});
  }

  MatrixView<float> map(std::vector<float>& values) const { return {values.data(), n, dimensions, dimensions}; }
  void run_gradient() {
    engine->tsne_gradient({.plan = plan.get(), .positions = map(positions), .gradient = map(gradient)});
  }
};

// The same on the cuda engine, in its memory.
struct CudaWork {
  std::unique_ptr<Engine> engine;
  std::size_t n, dimensions;
  Tensor positions, update, gains, gradient;
  std::unique_ptr<TsnePlan> plan;

  CudaWork(std::unique_ptr<Engine> cuda, std::size_t n_, std::size_t dimensions_, std::size_t degree,
           Repulsion repulsion)
      : engine(std::move(cuda)), n(n_), dimensions(dimensions_) {
    const std::array size{n * dimensions};
    const std::vector<float> map = grouped_map(n, dimensions), ones(n * dimensions, 1.0f);
    positions = to_engine(*engine, dense_view<const void>(map.data(), DType::f32, size));
    gains = to_engine(*engine, dense_view<const void>(ones.data(), DType::f32, size));
    update = engine->allocate(DType::f32, size);
    gradient = engine->allocate(DType::f32, size);
    const auto host = make_engine("cpu");
    const SparseMatrix p = ring_affinities(*host, n, degree);
    const SparseMatrix on_device{.row_offsets = to_engine(*engine, p.row_offsets),
                                 .columns = to_engine(*engine, p.columns),
                                 .values = to_engine(*engine, p.values)};
    plan = engine->plan_tsne({.affinities = &on_device, .dimensions = dimensions, .repulsion = repulsion});
  }

  MatrixView<float> map(const Tensor& values) const { return {values.vector<float>().data, n, dimensions, dimensions}; }
  void run_gradient() {
    engine->tsne_gradient({.plan = plan.get(), .positions = map(positions), .gradient = map(gradient)});
    wait(*engine, gradient);
  }
  void run_steps(std::size_t iterations) {
    engine->tsne_step({.plan = plan.get(),
                       .positions = map(positions),
                       .update = map(update),
                       .gains = map(gains),
                       .iterations = iterations,
                       .learning_rate = 1e-6f});
    wait(*engine, positions);
  }
};

// Two neighbours a point: the repulsion is all that counts.
void tsne_exact(benchmark::State& state) {
  const auto n = static_cast<std::size_t>(state.range(0));
  Work work(n, static_cast<std::size_t>(state.range(1)), 2, Repulsion::exact);
  for (auto _ : state) work.run_gradient();
  report_pairs(state, static_cast<double>(n) * static_cast<double>(n));
  // A pair takes 7 additions and multiplications a dimension, a division, and 2 more.
  report_flops(state,
               static_cast<double>(n) * static_cast<double>(n) / 2 * (7.0 * static_cast<double>(state.range(1)) + 3));
}
BENCHMARK(tsne_exact)->ArgNames({"N", "dimensions"})->Args({30522, 2})->Args({30522, 3})->UseRealTime();

void tsne_exact_cuda(benchmark::State& state) {
  auto engine = make_cuda_engine(state);
  if (!engine) return;
  const auto n = static_cast<std::size_t>(state.range(0));
  CudaWork work(std::move(engine), n, static_cast<std::size_t>(state.range(1)), 2, Repulsion::exact);
  time_calls(state, [&] { work.run_gradient(); });
  report_pairs(state, static_cast<double>(n) * static_cast<double>(n));
}
BENCHMARK(tsne_exact_cuda)
    ->ArgNames({"N", "dimensions"})
    ->ArgsProduct({{30522, 60000, 250000}, {2, 3}})
    ->Apply(on_the_device);

void tsne_grid(benchmark::State& state) {
  Work work(static_cast<std::size_t>(state.range(0)), static_cast<std::size_t>(state.range(1)), 2, Repulsion::grid);
  for (auto _ : state) work.run_gradient();
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(tsne_grid)
    ->ArgNames({"N", "dimensions"})
    ->Args({30522, 2})
    ->Args({250000, 2})
    ->Args({30522, 3})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

// 160 neighbours a point, which 90 nearest make when both directions count; a step too small to move the map.
void tsne_iteration(benchmark::State& state) {
  Work work(static_cast<std::size_t>(state.range(0)), 2, 160, Repulsion::automatic);
  for (auto _ : state)
    work.engine->tsne_step({.plan = work.plan.get(),
                            .positions = work.map(work.positions),
                            .update = work.map(work.update),
                            .gains = work.map(work.gains),
                            .learning_rate = 1e-6f});
  report_bytes(state, static_cast<double>(work.n) * 160 * 8);
}
BENCHMARK(tsne_iteration)->ArgName("N")->Arg(30522)->Arg(250000)->Unit(benchmark::kMillisecond)->UseRealTime();

// Ten iterations a call, of which one is reported: iterations/s.
void tsne_iteration_cuda(benchmark::State& state) {
  constexpr std::size_t kIterations = 10;
  auto engine = make_cuda_engine(state);
  if (!engine) return;
  CudaWork work(std::move(engine), static_cast<std::size_t>(state.range(0)), static_cast<std::size_t>(state.range(1)),
                160, Repulsion::automatic);
  time_calls(state, [&] { work.run_steps(kIterations); });
  report_rate(state, "iterations", kIterations);
}
BENCHMARK(tsne_iteration_cuda)
    ->ArgNames({"N", "dimensions"})
    ->ArgsProduct({{30522, 60000, 250000, 1000000}, {2, 3}})
    ->Apply(on_the_device);

// All pairs, on one thread: O(N^2).
void tsne_exact_law(benchmark::State& state) {
  const std::vector<std::size_t> sizes{8000, 16000, 32000};
  CostSweep sweep(sizes);
  std::vector<std::unique_ptr<Work>> works;
  for (const std::size_t n : sizes) works.push_back(std::make_unique<Work>(n, 2, 2, Repulsion::exact, 1));
  for (auto _ : state)
    sweep.run([&](std::size_t n) {
      for (auto& work : works)
        if (work->n == n) work->run_gradient();
    });
  report_cost_law(state, 2, sweep.exponent());
}
BENCHMARK(tsne_exact_law)->Iterations(5)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace lexiscope::bench
