// A block's sort and selection of 64-bit keys, in shared memory or in global memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/warp.h"
#include "simt/cuda.h"

namespace lexiscope::cuda {

using Key = unsigned long long;
inline constexpr Key kLastKey = ~Key{0};  ///< fills up what is sorted

/// The power of two that holds `count` keys.
__host__ __device__ constexpr std::size_t sorted_room(std::size_t count) {
  std::size_t room = 1;
  while (room < count) room *= 2;
  return room;
}

/// Sorts keys [count], a power of two, ascending: a bitonic network. All kThreads threads of the block take part; what
/// they wrote to the keys before is seen, and what they read afterwards is sorted.
template <unsigned kThreads>
__device__ void sort_keys(Key* keys, std::size_t count) {
  for (std::size_t size = 2; size <= count; size *= 2)
    for (std::size_t step = size / 2; step > 0; step /= 2) {
      __syncthreads();
      for (std::size_t at = threadIdx.x; at < count / 2; at += kThreads) {
        const std::size_t low = 2 * at - (at & (step - 1)), high = low + step;
        const Key first = keys[low], second = keys[high];
        if ((first > second) == ((low & size) == 0)) {
          keys[low] = second;
          keys[high] = first;
        }
      }
    }
  __syncthreads();
}

struct SelectShared {
  unsigned histogram[256];
  Key prefix;
  std::size_t rank;
};

/// The key that `rank` others (rank < count) of keys [count] are smaller than, where all differ: byte by byte from the
/// top, each by counting those that share the bytes found so far. All threads take part and get it.
template <unsigned kThreads>
__device__ Key select_key(const Key* keys, std::size_t count, std::size_t rank, SelectShared& shared) {
  static_assert(kThreads >= kWarpSize);
  if (threadIdx.x == 0) {
    shared.prefix = 0;
    shared.rank = rank;
  }
  for (int shift = 56; shift >= 0; shift -= 8) {
    for (unsigned bin = threadIdx.x; bin < 256; bin += kThreads) shared.histogram[bin] = 0;
    __syncthreads();
    const Key above = shift == 56 ? 0 : kLastKey << (shift + 8), prefix = shared.prefix;
    for (std::size_t at = threadIdx.x; at < count; at += kThreads)
      if ((keys[at] & above) == prefix) atomicAdd(&shared.histogram[keys[at] >> shift & 255], 1u);
    __syncthreads();
    if (threadIdx.x < kWarpSize) {  // a lane for eight bins
      constexpr unsigned kBins = 256 / kWarpSize;
      std::size_t mine = 0;
      for (unsigned bin = 0; bin < kBins; ++bin) mine += shared.histogram[threadIdx.x * kBins + bin];
      std::size_t before = mine;
      for (unsigned lanes = 1; lanes < kWarpSize; lanes *= 2) {
        const std::size_t other = __shfl_up_sync(kWholeWarp, before, lanes);
        if (threadIdx.x >= lanes) before += other;
      }
      before -= mine;
      const std::size_t wanted = shared.rank;
      __syncwarp();
      if (before <= wanted && wanted < before + mine) {
        unsigned bin = threadIdx.x * kBins;
        for (; wanted >= before + shared.histogram[bin]; ++bin) before += shared.histogram[bin];
        shared.prefix |= Key{bin} << shift;
        shared.rank = wanted - before;
      }
    }
    __syncthreads();
  }
  return shared.prefix;
}

}  // namespace lexiscope::cuda
