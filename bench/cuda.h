// What benchmarks of the cuda engine share: the engine, where there is one, and the limit of operations whose rows come
// from the host's memory.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>

#include "lexiscope/engine.h"

namespace lexiscope::bench {

/// Null where there is none: the benchmark then says why, and its function is to return.
std::unique_ptr<Engine> make_cuda_engine(benchmark::State& state, const EngineOptions& options = {});

/// A copy in the engine's memory.
Tensor to_engine(Engine& engine, ConstTensorView host);

/// Until everything that was enqueued before is done; `tensor` is one of the engine's, not empty.
void wait(Engine& engine, const Tensor& tensor);

/// For benchmarks of the cuda engine: five iterations by the wall's clock, in milliseconds. What they need is prepared
/// on the host once then, which can take longer than what is timed.
void on_the_device(benchmark::internal::Benchmark* bench);
/// The same for time_enqueued().
void enqueued_on_the_device(benchmark::internal::Benchmark* bench);

/// Times `work`, which waits for what it enqueued: once before, so that workspace, libraries' handles and the loading
/// of kernels are left out.
template <typename Work>
void time_calls(benchmark::State& state, Work&& work) {
  work();
  for (auto _ : state) work();
}

/// Times what `work` enqueues: as many calls an iteration as take 20 ms, at most twenty, behind one wait, whose cost
/// counts for little then. `tensor` as wait() takes it.
template <typename Work>
void time_enqueued(benchmark::State& state, Engine& engine, const Tensor& tensor, Work&& work) {
  const auto seconds_of = [&](int calls) {
    const auto start = std::chrono::steady_clock::now();
    for (int call = 0; call < calls; ++call) work();
    wait(engine, tensor);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  seconds_of(1);
  const int calls = static_cast<int>(std::clamp(std::ceil(20e-3 / seconds_of(1)), 1.0, 20.0));
  for (auto _ : state) state.SetIterationTime(seconds_of(calls) / calls);
}

/// Counters bytes/s, and of_upload: the share of what a copy of 256 MiB to the engine reaches, measured once.
void report_upload(benchmark::State& state, Engine& engine, double bytes_per_iteration);

}  // namespace lexiscope::bench
