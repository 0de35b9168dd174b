// What benchmarks of the cuda engine share: the engine, where there is one, and the limit of operations whose rows come
// from the host's memory.
#pragma once

#include <benchmark/benchmark.h>

#include <memory>

#include "lexiscope/engine.h"

namespace lexiscope::bench {

/// Null where there is none: the benchmark then says why, and its function is to return.
std::unique_ptr<Engine> make_cuda_engine(benchmark::State& state);

/// Until everything that was enqueued before is done; `tensor` is one of the engine's, not empty.
void wait(Engine& engine, const Tensor& tensor);

/// Counters bytes/s, and of_upload: the share of what a copy of 256 MiB to the engine reaches, measured once.
void report_upload(benchmark::State& state, Engine& engine, double bytes_per_iteration);

}  // namespace lexiscope::bench
