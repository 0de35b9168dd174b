// The covariance's f64 operations a second beside sgemm, whose rate in f32 is twice what f64 can reach, and the
// exponents of N and d in its time beside the law O(N d^2). On the cuda engine, the rows' bytes a second beside an
// upload: they are brought to the device twice.
#include <benchmark/benchmark.h>

#include <vector>

#include "bench/cost_law.h"
#include "bench/cuda.h"
#include "bench/limits.h"
#include "lexiscope/engine.h"

namespace lexiscope::bench {
namespace {

// Random enough: the time does not depend on the values.
std::vector<float> points(std::size_t n, std::size_t d) {
  std::vector<float> x(n * d);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 2654435761u % 1024) / 512 - 1;
  return x;
}

void run(Engine& engine, const std::vector<float>& x, std::size_t n, std::size_t d) {
  std::vector<double> mean(d), covariance(d * d);
  engine.covariance({.x = {x.data(), n, d, d}, .mean = {mean.data(), d}, .covariance = {covariance.data(), d, d, d}});
}

void covariance(benchmark::State& state) {
  const auto n = static_cast<std::size_t>(state.range(0)), d = static_cast<std::size_t>(state.range(1));
  const auto x = points(n, d);
  const auto engine = make_engine("cpu");
  for (auto _ : state) run(*engine, x, n, d);
  report_flops(state, static_cast<double>(n * d * (d + 1)));  // a product and a sum for half of the square
}

void covariance_cuda(benchmark::State& state) {
  const auto n = static_cast<std::size_t>(state.range(0)), d = static_cast<std::size_t>(state.range(1));
  const auto engine = make_cuda_engine(state);
  if (!engine) return;
  const auto x = points(n, d);
  const Tensor mean = engine->allocate(DType::f64, {d}), covariance = engine->allocate(DType::f64, {d, d});
  time_calls(state, [&] {
    engine->covariance(
        {.x = {x.data(), n, d, d}, .mean = mean.vector<double>(), .covariance = covariance.matrix<double>()});
    wait(*engine, covariance);
  });
  report_upload(state, *engine, 2.0 * static_cast<double>(n * d * sizeof(float)));
}

void covariance_law_of_n(benchmark::State& state) {
  constexpr std::size_t kWidth = 192;
  const auto x = points(131072, kWidth);
  const auto engine = make_engine("cpu", {.threads = 1});
  CostSweep sweep({16384, 32768, 65536, 131072});
  for (auto _ : state) sweep.run([&](std::size_t n) { run(*engine, x, n, kWidth); });
  report_cost_law(state, 1, sweep.exponent());
}

void covariance_law_of_d(benchmark::State& state) {
  constexpr std::size_t kPoints = 8192;
  const auto x = points(kPoints, 1536);
  const auto engine = make_engine("cpu", {.threads = 1});
  CostSweep sweep({192, 384, 768, 1536});
  for (auto _ : state) sweep.run([&](std::size_t d) { run(*engine, x, kPoints, d); });
  report_cost_law(state, 2, sweep.exponent());
}

BENCHMARK(covariance)
    ->ArgNames({"N", "d"})
    ->Args({30522, 384})
    ->Args({250000, 50})
    ->Args({8192, 1024})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK(covariance_cuda)->ArgNames({"N", "d"})->Args({30522, 384})->Args({250000, 768})->Apply(on_the_device);
BENCHMARK(covariance_law_of_n)->Iterations(5)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(covariance_law_of_d)->Iterations(5)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace lexiscope::bench
