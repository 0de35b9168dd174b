// The limits, measured: medians, so that one disturbed run does not set the scale.
#include "bench/limits.h"

#include <cblas.h>
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <map>
#include <string>
#include <vector>

extern "C" void openblas_set_num_threads(int);

namespace lexiscope::bench {
namespace {

template <typename Work>
double median_seconds(Work&& work) {
  work();
  std::vector<double> seconds;
  for (int repeat = 0; repeat < 7; ++repeat) {
    const auto start = std::chrono::steady_clock::now();
    work();
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::nth_element(seconds.begin(), seconds.begin() + 3, seconds.end());
  return seconds[3];
}

}  // namespace

double copy_bytes_per_second(std::size_t bytes) {
  static std::map<std::size_t, double> measured;
  if (const auto found = measured.find(bytes); found != measured.end()) return found->second;
  const std::size_t half = std::max<std::size_t>(bytes / 2, 1), passes = std::max<std::size_t>(1, (64 << 20) / bytes);
  std::vector<char> from(half, 1), to(half);
  const double seconds = median_seconds([&] {
#pragma omp parallel
    {
      const std::size_t threads = static_cast<std::size_t>(omp_get_num_threads()),
                        thread = static_cast<std::size_t>(omp_get_thread_num()), first = half * thread / threads,
                        last = half * (thread + 1) / threads;
      for (std::size_t pass = 0; pass < passes; ++pass) {
        std::memcpy(to.data() + first, from.data() + first, last - first);
        benchmark::ClobberMemory();
      }
    }
  });
  return measured[bytes] = 2.0 * static_cast<double>(half * passes) / seconds;
}

double sgemm_flops_per_second(int threads) {
  static std::map<int, double> measured;
  if (threads == 0) threads = omp_get_max_threads();
  if (const auto found = measured.find(threads); found != measured.end()) return found->second;
  constexpr int kSize = 1024;
  openblas_set_num_threads(1);
  std::vector<std::vector<float>> buffers(static_cast<std::size_t>(threads), std::vector<float>(3 * kSize * kSize, 1));
  const double seconds = median_seconds([&] {
#pragma omp parallel for schedule(static, 1) num_threads(threads)
    for (int t = 0; t < threads; ++t) {
      float* a = buffers[static_cast<std::size_t>(t)].data();
      cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, kSize, kSize, kSize, 1, a, kSize, a + kSize * kSize, kSize,
                  0, a + 2 * kSize * kSize, kSize);
    }
  });
  return measured[threads] = 2.0 * kSize * kSize * kSize * threads / seconds;
}

void report_bytes(benchmark::State& state, double bytes_per_iteration) {
  const double total = bytes_per_iteration * static_cast<double>(state.iterations());
  state.counters["bytes/s"] = benchmark::Counter(total, benchmark::Counter::kIsRate);
  state.counters["of_copy"] = benchmark::Counter(
      total / copy_bytes_per_second(static_cast<std::size_t>(bytes_per_iteration)), benchmark::Counter::kIsRate);
}

void report_flops(benchmark::State& state, double flops_per_iteration, int threads) {
  const double total = flops_per_iteration * static_cast<double>(state.iterations());
  state.counters["FLOP/s"] = benchmark::Counter(total, benchmark::Counter::kIsRate);
  state.counters["of_sgemm"] = benchmark::Counter(total / sgemm_flops_per_second(threads), benchmark::Counter::kIsRate);
}

void report_rate(benchmark::State& state, const char* name, double per_iteration) {
  state.counters[std::string(name) + "/s"] =
      benchmark::Counter(per_iteration * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

void report_pairs(benchmark::State& state, double pairs_per_iteration) {
  report_rate(state, "pairs", pairs_per_iteration);
}

void report_cost_law(benchmark::State& state, double law, double fitted) {
  state.counters["law"] = law;
  state.counters["fitted"] = fitted;
}

}  // namespace lexiscope::bench
