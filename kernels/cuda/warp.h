// What every kernel needs of a warp: its size, and sums over its lanes.
#pragma once

#include "simt/cuda.h"

namespace lexiscope::cuda {

inline constexpr unsigned kWarpSize = 32;
inline constexpr unsigned kWholeWarp = 0xffffffffu;

/// The sum over the lanes of a whole warp, the same bits in each of them.
template <typename Number>
__device__ Number warp_sum(Number value) {
#pragma unroll
  for (unsigned offset = kWarpSize / 2; offset > 0; offset /= 2) value += __shfl_xor_sync(kWholeWarp, value, offset);
  return value;
}

}  // namespace lexiscope::cuda
