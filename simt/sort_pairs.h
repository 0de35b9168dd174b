// Stands in for cub::DeviceRadixSort::SortPairs with double buffers: a template whose device code a host compiler
// cannot build.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace lexiscope::simt {

struct PairsToSort {
  std::uint64_t* keys[2];  ///< device memory [count]; the pairs lie in the first
  float* values[2];
  std::size_t count;
  int key_bits;  ///< the low ones count
  void* workspace;
};

/// Enqueues a stable sort on `stream`, as "sort_pairs" among the calls that can be made to fail. `result` is the buffer
/// that will hold it: the second, unless there is nothing to sort. Without a workspace it only says, in
/// `workspace_bytes`, how many it needs. Other memory than that of the live allocations is a fault when it executes.
cudaError_t sort_pairs(const PairsToSort& pairs, std::size_t& workspace_bytes, int& result, cudaStream_t stream);

}  // namespace lexiscope::simt
