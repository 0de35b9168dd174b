// Google Benchmark's own program, with the machine's limits printed first.
#include <benchmark/benchmark.h>

#include <cstdio>

#include "bench/limits.h"

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  std::fprintf(stderr, "limits measured here: sgemm %.0f GFLOP/s, copy of 256 MiB %.1f GB/s\n",
               lexiscope::bench::sgemm_flops_per_second() * 1e-9,
               lexiscope::bench::copy_bytes_per_second(std::size_t{256} << 20) * 1e-9);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
