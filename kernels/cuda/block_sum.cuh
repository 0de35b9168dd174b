// A sum over the threads of a whole block, in a fixed order.
#pragma once

#include "kernels/cuda/warp.h"

namespace lexiscope::cuda {

/// Shared memory for block_sum() of one value: no two sums that are under way share it.
struct BlockSumShared {
  double partial[1024 / kWarpSize];
};

/// The same bits in each thread. All threads of the block call it; blocks are whole warps.
__device__ inline double block_sum(double value, BlockSumShared& shared) {
  value = warp_sum(value);
  if (threadIdx.x % kWarpSize == 0) shared.partial[threadIdx.x / kWarpSize] = value;
  __syncthreads();
  const unsigned lane = threadIdx.x % kWarpSize;
  return warp_sum(lane < blockDim.x / kWarpSize ? shared.partial[lane] : 0.0);
}

}  // namespace lexiscope::cuda
