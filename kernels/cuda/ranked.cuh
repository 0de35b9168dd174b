// The largest values of a row with their indices, kept sorted across the lanes of a warp: lane n holds the n-th
// largest. More than 32 are found in several passes, each of which leaves out what the passes before it found.
#pragma once

#include <climits>
#include <cmath>

#include "kernels/cuda/warp.h"
#include "simt/cuda.h"

namespace lexiscope::cuda {

struct alignas(8) Ranked {
  float value;
  int index;

  /// The larger value first, the smaller index where they are equal.
  __device__ bool precedes(const Ranked& other) const {
    return value > other.value || (value == other.value && index < other.index);
  }
  __device__ bool is_empty() const { return index == INT_MAX; }
  static __device__ Ranked empty() { return {-INFINITY, INT_MAX}; }  // everything precedes it
  static __device__ Ranked before_all() { return {INFINITY, -1}; }
};

__device__ inline Ranked ranked_of_lane(const Ranked& mine, unsigned lane) {
  return {__shfl_sync(kWholeWarp, mine.value, lane), __shfl_sync(kWholeWarp, mine.index, lane)};
}

/// Sorts the candidates of the lanes where `offered` into the warp's list, of which the first `kept` lanes count. All
/// lanes take part.
__device__ inline void insert_ranked(Ranked& list, unsigned kept, const Ranked& candidate, bool offered) {
  const unsigned lane = threadIdx.x % kWarpSize;
  const Ranked last = ranked_of_lane(list, kept - 1);
  unsigned waiting = __ballot_sync(kWholeWarp, offered && candidate.precedes(last));
  while (waiting != 0) {
    const Ranked next = ranked_of_lane(candidate, static_cast<unsigned>(__ffs(static_cast<int>(waiting))) - 1);
    waiting &= waiting - 1;
    const auto place = static_cast<unsigned>(__popc(__ballot_sync(kWholeWarp, list.precedes(next))));
    const Ranked above = {__shfl_up_sync(kWholeWarp, list.value, 1), __shfl_up_sync(kWholeWarp, list.index, 1)};
    if (lane > place) list = above;
    if (lane == place) list = next;
  }
}

}  // namespace lexiscope::cuda
