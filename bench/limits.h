// What this machine can do at most, measured in the same process as the operations, and counters that say which share
// of it an operation reached.
#pragma once

#include <benchmark/benchmark.h>

#include <cstddef>

namespace lexiscope::bench {

/// Bytes read plus written a second by a copy on all cores, of that many bytes in all. Measured once a size.
double copy_bytes_per_second(std::size_t bytes);

/// f32 operations a second of OpenBLAS sgemm (1024 cubed a thread) on that many threads, 0 for one a core. Measured
/// once for each number of threads.
double sgemm_flops_per_second(int threads = 0);

/// Counters bytes/s and share: of a copy of the same size.
void report_bytes(benchmark::State& state, double bytes_per_iteration);

/// Counters FLOP/s and share: of sgemm on as many threads (0 for one a core).
void report_flops(benchmark::State& state, double flops_per_iteration, int threads = 0);

/// Counter NAME/s: what no limit here says anything of.
void report_rate(benchmark::State& state, const char* name, double per_iteration);

/// Counter pairs/s.
void report_pairs(benchmark::State& state, double pairs_per_iteration);

/// Counters law and fitted: the exponent that theory gives, and the one measured (bench/cost_law.h).
void report_cost_law(benchmark::State& state, double law, double fitted);

}  // namespace lexiscope::bench
