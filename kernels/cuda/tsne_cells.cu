#include "kernels/cuda/launch.h"
#include "kernels/cuda/tsne_cells.h"
#include "kernels/cuda/warp.h"

namespace lexiscope::cuda {
namespace {

constexpr unsigned kThreads = 256;
constexpr unsigned kScanThreads = 1024;  // cells of a block: a thread has one
constexpr unsigned kScanWarps = kScanThreads / kWarpSize;

unsigned blocks_for(std::size_t threads) { return static_cast<unsigned>((threads + kThreads - 1) / kThreads); }

template <unsigned kDimensions>
__device__ unsigned cell_of(const TsneCells& cells, const TsneStatus& status, const TsnePoint<kDimensions>& point) {
  constexpr float kInverse = static_cast<float>(1 / kTsneCutoff);
  unsigned cell = 0;
#pragma unroll
  for (unsigned c = kDimensions; c-- > 0;) {
    const auto place = static_cast<unsigned>((point.at[c] - status.low[c]) * kInverse);
    cell = cell * cells.counts[c] + min(place, cells.counts[c] - 1);
  }
  return cell;
}

template <unsigned kDimensions>
__global__ void __launch_bounds__(kThreads) count_kernel(TsneState state, TsneCells cells) {
  const unsigned i = blockIdx.x * kThreads + threadIdx.x;
  if (i >= state.points || !state.status->active) return;
  const unsigned cell = cell_of(cells, *state.status, state.positions<kDimensions>()[i]);
  cells.slot[i] = make_uint2(cell, atomicAdd(cells.occupied + cell, 1u));
}

// Points and units of one cell or of several.
__device__ uint2 cell_size(const TsneCells& cells, unsigned cell) {
  const unsigned points = cell < cells.cells() ? cells.occupied[cell] : 0;
  return make_uint2(points, (points + kTsneUnitPoints - 1) / kTsneUnitPoints);
}

struct ScanShared {
  uint2 of_warp[kScanWarps];
  uint2 before[kScanWarps];
};

// The sum over the threads before this one, and its own.
__device__ uint2 block_scan(uint2 own, uint2 (&of_warp)[kScanWarps]) {
  const unsigned lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize;
#pragma unroll
  for (unsigned offset = 1; offset < kWarpSize; offset *= 2) {
    const unsigned x = __shfl_up_sync(kWholeWarp, own.x, offset), y = __shfl_up_sync(kWholeWarp, own.y, offset);
    if (lane >= offset) own = make_uint2(own.x + x, own.y + y);
  }
  if (lane == kWarpSize - 1) of_warp[warp] = own;
  __syncthreads();
  for (unsigned before = 0; before < warp; ++before)
    own = make_uint2(own.x + of_warp[before].x, own.y + of_warp[before].y);
  return own;
}

__global__ void __launch_bounds__(kScanThreads) totals_kernel(TsneState state, TsneCells cells) {
  if (!state.status->active) return;
  auto& shared = shared_memory<ScanShared>();
  const uint2 sum = block_scan(cell_size(cells, blockIdx.x * kScanThreads + threadIdx.x), shared.of_warp);
  if (threadIdx.x == kScanThreads - 1) cells.totals[blockIdx.x] = sum;
}

// Where each cell and each of its units begins; leaves the counts empty.
__global__ void __launch_bounds__(kScanThreads) starts_kernel(TsneState state, TsneCells cells) {
  if (!state.status->active) return;
  auto& shared = shared_memory<ScanShared>();
  unsigned points = 0, units = 0;
  for (unsigned block = threadIdx.x; block < blockIdx.x; block += kScanThreads) {
    points += cells.totals[block].x;
    units += cells.totals[block].y;
  }
  points = __reduce_add_sync(kWholeWarp, points);
  units = __reduce_add_sync(kWholeWarp, units);
  if (threadIdx.x % kWarpSize == 0) shared.before[threadIdx.x / kWarpSize] = make_uint2(points, units);
  const unsigned cell = blockIdx.x * kScanThreads + threadIdx.x;
  const uint2 own = cell_size(cells, cell);
  uint2 end = block_scan(own, shared.of_warp);
  for (const uint2& before : shared.before) end = make_uint2(end.x + before.x, end.y + before.y);
  if (cell >= cells.cells()) return;
  cells.occupied[cell] = 0;
  const uint2 start = make_uint2(end.x - own.x, end.y - own.y);
  cells.start[cell] = start.x;
  for (unsigned unit = 0; unit < own.y; ++unit) cells.units[start.y + unit] = {cell, start.x + unit * kTsneUnitPoints};
  if (cell + 1 == cells.cells()) {
    cells.start[cell + 1] = end.x;
    *cells.unit_count = end.y;
  }
}

__global__ void __launch_bounds__(kThreads) scatter_kernel(TsneState state, TsneCells cells) {
  const unsigned i = blockIdx.x * kThreads + threadIdx.x;
  if (i >= state.points || !state.status->active) return;
  const uint2 slot = cells.slot[i];
  cells.arrived[cells.start[slot.x] + slot.y] = i;
}

// A point's place in its cell is how many of the cell's points have a lower number. That is the square of a cell's
// points, and less than the ninth part of what the near field takes.
template <unsigned kDimensions>
__global__ void __launch_bounds__(kThreads) order_kernel(TsneState state, TsneCells cells) {
  const unsigned at = blockIdx.x * kThreads + threadIdx.x;
  if (at >= state.points || !state.status->active) return;
  const unsigned i = cells.arrived[at], cell = cells.slot[i].x;
  const unsigned first = cells.start[cell], last = cells.start[cell + 1];
  unsigned place = first;
  for (unsigned k = first; k < last; ++k) place += cells.arrived[k] < i;
  cells.order[place] = i;
  reinterpret_cast<TsnePoint<kDimensions>*>(cells.sorted)[place] = state.positions<kDimensions>()[i];
}

__global__ void __launch_bounds__(kThreads) clear_kernel(TsneCells cells) {
  const unsigned cell = blockIdx.x * kThreads + threadIdx.x;
  if (cell < cells.cells()) cells.occupied[cell] = 0;
}

}  // namespace

unsigned tsne_cell_blocks(const TsneCells& cells) { return (cells.cells() + kScanThreads - 1) / kScanThreads; }

void clear_tsne_cells(const TsneCells& cells, cudaStream_t stream) {
  launch("tsne_clear_cells", clear_kernel, {.blocks = blocks_for(cells.cells()), .threads = kThreads}, stream, cells);
}

void sort_tsne_cells(const TsneState& state, const TsneCells& cells, cudaStream_t stream) {
  const bool flat = state.dimensions == 2;
  const LaunchShape over_points{.blocks = blocks_for(state.points), .threads = kThreads};
  const LaunchShape over_cells{
      .blocks = tsne_cell_blocks(cells), .threads = kScanThreads, .shared_bytes = sizeof(ScanShared)};
  launch("tsne_count_cells", flat ? count_kernel<2> : count_kernel<3>, over_points, stream, state, cells);
  launch("tsne_cell_totals", totals_kernel, over_cells, stream, state, cells);
  launch("tsne_cell_starts", starts_kernel, over_cells, stream, state, cells);
  launch("tsne_scatter_cells", scatter_kernel, over_points, stream, state, cells);
  launch("tsne_order_cells", flat ? order_kernel<2> : order_kernel<3>, over_points, stream, state, cells);
}

}  // namespace lexiscope::cuda
