// CUB's radix sort, with its workspace from the caller and on the caller's stream. A host compiler cannot build CUB's
// device code, so the emulator has a sort of its own.
#include <string>

#include "kernels/cuda/sort_pairs.h"
#include "lexiscope/error.h"
#include "simt/cuda.h"

#if defined(__CUDACC__)
#include <cub/device/device_radix_sort.cuh>
#endif

namespace lexiscope::cuda {
namespace {

// `workspace` null: only says how many bytes it needs. The number of the buffer that holds the result.
int sort(const PairBuffers& pairs, std::size_t count, int key_bits, void* workspace, std::size_t& workspace_bytes,
         cudaStream_t stream) {
  int result = 0;
#if defined(__CUDACC__)
  cub::DoubleBuffer<std::uint64_t> keys(pairs.keys[0], pairs.keys[1]);
  cub::DoubleBuffer<float> values(pairs.values[0], pairs.values[1]);
  const cudaError_t status = cub::DeviceRadixSort::SortPairs(workspace, workspace_bytes, keys, values,
                                                             static_cast<std::int64_t>(count), 0, key_bits, stream);
  result = keys.selector;
#else
  const cudaError_t status =
      simt::sort_pairs({{pairs.keys[0], pairs.keys[1]}, {pairs.values[0], pairs.values[1]}, count, key_bits, workspace},
                       workspace_bytes, result, stream);
#endif
  if (status != cudaSuccess)
    throw Error(ErrorCode::kDevice,
                "sort_pairs: a sort of " + std::to_string(count) + " pairs was refused: " + cudaGetErrorString(status));
  return result;
}

}  // namespace

std::size_t sort_pairs_workspace(std::size_t count, int key_bits) {
  std::size_t bytes = 0;
  sort({}, count, key_bits, nullptr, bytes, nullptr);
  return bytes;
}

SortedPairs sort_pairs(const PairBuffers& pairs, std::size_t count, int key_bits, void* workspace,
                       std::size_t workspace_bytes, cudaStream_t stream) {
  const int result = sort(pairs, count, key_bits, workspace, workspace_bytes, stream);
  return {pairs.keys[result], pairs.values[result]};
}

}  // namespace lexiscope::cuda
