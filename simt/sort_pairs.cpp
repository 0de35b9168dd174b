#include "simt/sort_pairs.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "simt/runtime_call.h"

namespace lexiscope::simt {
namespace {

std::size_t workspace_of(std::size_t count) { return 256 + count / 16; }

void require_live(const void* data, std::size_t bytes) {
  if (!runtime().memory.live(data, bytes))
    throw DeviceFault(cudaErrorIllegalAddress, "sort_pairs: memory that is no live allocation of the device's");
}

void execute(const PairsToSort& pairs) {
  const std::size_t count = pairs.count, workspace_bytes = workspace_of(count);
  for (int buffer = 0; buffer < 2; ++buffer) {
    require_live(pairs.keys[buffer], count * sizeof(std::uint64_t));
    require_live(pairs.values[buffer], count * sizeof(float));
  }
  require_live(pairs.workspace, workspace_bytes);
  const std::uint64_t counted = pairs.key_bits >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << pairs.key_bits) - 1;
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, {}, [&](std::size_t at) { return pairs.keys[0][at] & counted; });
  for (std::size_t at = 0; at < count; ++at) {
    pairs.keys[1][at] = pairs.keys[0][order[at]];
    pairs.values[1][at] = pairs.values[0][order[at]];
  }
  // What the sort leaves there is not the caller's to read.
  std::memset(pairs.keys[0], kPoisonByte, count * sizeof(std::uint64_t));
  std::memset(pairs.values[0], kPoisonByte, count * sizeof(float));
  std::memset(pairs.workspace, kPoisonByte, workspace_bytes);
}

}  // namespace

cudaError_t sort_pairs(const PairsToSort& pairs, std::size_t& workspace_bytes, int& result, cudaStream_t stream) {
  return call("sort_pairs", [&] {
    if (pairs.workspace == nullptr) {
      workspace_bytes = workspace_of(pairs.count);
      return cudaSuccess;
    }
    require(workspace_bytes >= workspace_of(pairs.count), cudaErrorInvalidValue);
    result = pairs.count > 0 ? 1 : 0;
    if (pairs.count > 0) runtime().streams.enqueue(stream, [pairs] { execute(pairs); });
    return cudaSuccess;
  });
}

}  // namespace lexiscope::simt
