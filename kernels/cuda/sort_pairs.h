// A stable sort of many pairs by their keys: CUB's radix sort on a GPU, and what stands in for it on the emulator. The
// one place where the kernels use CUDA's C++ core libraries.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace lexiscope::cuda {

/// Two buffers of pairs, device memory [count] each: the pairs lie in the first, either may hold the result.
struct PairBuffers {
  std::uint64_t* keys[2];
  float* values[2];
};

struct SortedPairs {
  const std::uint64_t* keys;
  const float* values;
};

/// Bytes of workspace that sort_pairs() needs. Throws Error{kDevice} where the runtime refuses to say.
std::size_t sort_pairs_workspace(std::size_t count, int key_bits);

/// Enqueues the sort by the low `key_bits` of the keys, ascending, pairs of equal keys in the order in which they lie;
/// returns where the result will be. `count` is below 2^63. Throws Error{kDevice} where a launch is refused.
SortedPairs sort_pairs(const PairBuffers& pairs, std::size_t count, int key_bits, void* workspace,
                       std::size_t workspace_bytes, cudaStream_t stream);

}  // namespace lexiscope::cuda
