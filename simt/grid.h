// Runs one grid of CUDA threads on the CPU: a thread is a fiber, a block is a task on an OS thread.
#pragma once

#include <vector_types.h>

#include <cstddef>
#include <cstdint>

#include "simt/kernel.h"

namespace lexiscope::simt {

struct GridLaunch {
  const Kernel* kernel;  ///< from find_kernel
  dim3 grid;
  dim3 block;
  std::size_t shared_bytes = 0;  ///< dynamic shared memory of a block
  KernelArguments arguments;
  std::size_t max_shared_bytes =
      227 * 1024;  ///< what this launch may have at most: the device's, or the kernel's opt-in
};

/// Runs the grid to its end and returns. Call it from any OS thread, from several at once too (streams). Throws Fault
/// for what a kernel does wrong; the grid is then abandoned: blocks that have not begun never do, and memory is as the
/// kernel left it. Device memory that the kernel may touch is what simt/device_memory.h holds when the call begins.
void run_grid(const GridLaunch& launch);

/// In which order the ready threads of a block take turns.
enum class ThreadSchedule {
  kFair,         ///< round and round, ascending
  kReverse,      ///< round and round, descending
  kRandom,       ///< any ready thread, by the seed
  kGreedyWarps,  ///< a warp runs on until it has to wait for another one: the greatest skew between warps
};

/// In which order blocks begin.
enum class BlockOrder { kForward, kReverse, kRandom };

/// A correct kernel gives the same results under each of these. A wrong one often does not.
struct ScheduleOptions {
  ThreadSchedule threads = ThreadSchedule::kFair;
  BlockOrder blocks = BlockOrder::kForward;
  std::uint64_t seed = 1;
  unsigned workers = 0;  ///< OS threads that run blocks at a time; 0: one a processor
};

/// For the grids that start from now on, in the whole process. At first: what the environment variable
/// LEXISCOPE_SIMT_SCHEDULE says (fair, reverse, random:SEED, greedy), or else the defaults above.
void set_schedule(const ScheduleOptions& options);
ScheduleOptions schedule();

}  // namespace lexiscope::simt
