// Running sums by one block: rows are few beside what fills them.
#include "kernels/cuda/launch.h"
#include "kernels/cuda/row_offsets.h"
#include "kernels/cuda/warp.h"

namespace lexiscope::cuda {
namespace {

constexpr unsigned kThreads = 1024, kWarps = kThreads / kWarpSize;

struct ScanShared {
  long long sums[kWarps];
};

__device__ long long inclusive_sum_of_warp(long long value) {
#pragma unroll
  for (unsigned lanes = 1; lanes < kWarpSize; lanes *= 2) {
    const long long other = __shfl_up_sync(kWholeWarp, value, lanes);
    if (threadIdx.x % kWarpSize >= lanes) value += other;
  }
  return value;
}

__global__ void __launch_bounds__(kThreads)
    row_offsets_kernel(std::int64_t* row_offsets, std::size_t rows, std::int64_t* total) {
  auto& shared = shared_memory<ScanShared>();
  const unsigned warp = threadIdx.x / kWarpSize, lane = threadIdx.x % kWarpSize;
  long long before = 0;
  if (threadIdx.x == 0) row_offsets[0] = 0;
  for (std::size_t first = 0; first < rows; first += kThreads) {
    const std::size_t row = first + threadIdx.x;
    long long sum = inclusive_sum_of_warp(row < rows ? row_offsets[row + 1] : 0);
    if (lane == kWarpSize - 1) shared.sums[warp] = sum;
    __syncthreads();
    sum += before;
    for (unsigned w = 0; w < kWarps; ++w) {
      if (w < warp) sum += shared.sums[w];
      before += shared.sums[w];
    }
    if (row < rows) row_offsets[row + 1] = sum;
    __syncthreads();
  }
  if (threadIdx.x == 0) *total = before;
}

}  // namespace

void scan_row_offsets(std::int64_t* row_offsets, std::size_t rows, std::int64_t* total, cudaStream_t stream) {
  launch("row_offsets", row_offsets_kernel, {.blocks = 1, .threads = kThreads, .shared_bytes = sizeof(ScanShared)},
         stream, row_offsets, rows, total);
}

}  // namespace lexiscope::cuda
