// A block takes a pair of tiles. A thread holds rows in registers, 32 columns at a time go round the lanes of a warp: a
// column's coordinates are read from shared memory one place further at each turn, its force is handed on by a shuffle
// and is home again after 32. Warps take different quarters of the columns, so that nothing needs atomics.
#include <algorithm>

#include "kernels/cuda/instructions.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/tsne_exact.h"
#include "kernels/cuda/tsne_normalization.h"
#include "kernels/cuda/warp.h"

namespace lexiscope::cuda {
namespace {

constexpr unsigned kThreads = kTsneExactThreads;
constexpr unsigned kWarps = kThreads / kWarpSize;
constexpr unsigned kReduceThreads = 256;
// What stands in for points past the last: its square overflows, so that q is 0, and 0 times a difference is 0.
constexpr float kNowhere = 1e30f;

// Partial sums of a band of column tiles: what each row got from each tile, and each of its columns from each row tile.
struct ExactPartials {
  float* of_rows;         // [band tiles][dimensions][tiles * tile]
  float* of_columns;      // [tiles][dimensions][band tiles * tile]
  double* normalization;  // [tiles][tiles]: the shares of Z, of pairs that are no work 0
  unsigned tiles, tile;   // all tiles, and points in one
  unsigned first, count;  // column tiles of this band

  __device__ float* row(unsigned column_tile, unsigned axis, unsigned dimensions) const {
    return of_rows + (std::size_t{column_tile - first} * dimensions + axis) * tiles * tile;
  }
  __device__ float* column(unsigned row_tile, unsigned axis, unsigned dimensions) const {
    return of_columns + (std::size_t{row_tile} * dimensions + axis) * count * tile;
  }
};

template <unsigned kDimensions, unsigned kRows>
struct ExactShared {
  static constexpr unsigned kTile = kThreads * kRows;
  TsnePoint<kDimensions> column[2 * kTile];  // each 32 twice, so that lane + turn needs no wrap
  float force[kDimensions][kTile];
  double normalization[kWarps];
};

// A thread's points: kRows of them, 32 apart.
template <unsigned kDimensions, unsigned kRows>
struct ExactRows {
  float position[kDimensions][kRows];
  float force[kDimensions][kRows];
  float normalization[2];  // of even and of odd rows
};

// The rows against 32 columns, of which this lane is to hold `force` when it comes and when it goes. Where the columns
// are the warp's own rows number `own`, the first turn meets a point with itself, which is no pair.
template <bool kOwn, unsigned kDimensions, unsigned kRows>
__device__ __forceinline__ void add_columns(const TsnePoint<kDimensions>* column, unsigned own,
                                            ExactRows<kDimensions, kRows>& rows, float (&force)[kDimensions]) {
  const unsigned next_lane = (threadIdx.x + 1) % kWarpSize;
#pragma unroll 8
  for (unsigned turn = 0; turn < kWarpSize; ++turn) {
    const TsnePoint<kDimensions> other = column[turn];
#pragma unroll
    for (unsigned r = 0; r < kRows; ++r) {
      float difference[kDimensions], s = 1;
#pragma unroll
      for (unsigned c = 0; c < kDimensions; ++c) {
        difference[c] = rows.position[c][r] - other.at[c];
        s = fmaf(difference[c], difference[c], s);
      }
      float q = reciprocal_approx(s);
      if (kOwn && turn == 0 && r == own) q = 0;
      rows.normalization[r % 2] += q;
      const float pull = q * q;
#pragma unroll
      for (unsigned c = 0; c < kDimensions; ++c) {
        rows.force[c][r] = fmaf(pull, difference[c], rows.force[c][r]);
        force[c] = fmaf(-pull, difference[c], force[c]);
      }
    }
#pragma unroll
    for (unsigned c = 0; c < kDimensions; ++c)
      force[c] = __shfl_sync(kWholeWarp, force[c], static_cast<int>(next_lane));
  }
}

template <unsigned kDimensions>
__device__ TsnePoint<kDimensions> point_or_nowhere(const TsnePoint<kDimensions>* position, unsigned index,
                                                   unsigned points, float nowhere) {
  if (index < points) return position[index];
  TsnePoint<kDimensions> point;
#pragma unroll
  for (float& coordinate : point.at) coordinate = nowhere;
  return point;
}

// Blocks (row tile, column tile of the band). On the diagonal every pair is met twice, once from each side, and what
// the columns get is left alone.
template <unsigned kDimensions, unsigned kRows>
__global__ void __launch_bounds__(kThreads) exact_kernel(TsneState state, ExactPartials partials) {
  if (!state.status->active) return;
  using Shared = ExactShared<kDimensions, kRows>;
  constexpr unsigned kTile = Shared::kTile, kWarpRows = kWarpSize * kRows;
  const unsigned row_tile = blockIdx.x, column_tile = partials.first + blockIdx.y;
  double* const normalization = partials.normalization + std::size_t{column_tile} * partials.tiles + row_tile;
  if (row_tile > column_tile) {
    if (threadIdx.x == 0) *normalization = 0;
    return;
  }
  auto& shared = shared_memory<Shared>();
  const TsnePoint<kDimensions>* const position = state.positions<kDimensions>();
  const unsigned lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize;
  for (unsigned k = threadIdx.x; k < kTile; k += kThreads) {
    const unsigned at = k / kWarpSize * 2 * kWarpSize + k % kWarpSize;
    const auto point = point_or_nowhere(position, column_tile * kTile + k, state.points, kNowhere);
    shared.column[at] = shared.column[at + kWarpSize] = point;
    for (unsigned c = 0; c < kDimensions; ++c) shared.force[c][k] = 0;
  }
  ExactRows<kDimensions, kRows> rows;
  const unsigned first_row = row_tile * kTile + warp * kWarpRows + lane;
#pragma unroll
  for (unsigned r = 0; r < kRows; ++r) {
    const auto point = point_or_nowhere(position, first_row + r * kWarpSize, state.points, -kNowhere);
#pragma unroll
    for (unsigned c = 0; c < kDimensions; ++c) {
      rows.position[c][r] = point.at[c];
      rows.force[c][r] = 0;
    }
  }
  __syncthreads();

  double sum = 0;
  for (unsigned phase = 0; phase < kWarps; ++phase) {
    const unsigned quarter = (warp + phase) % kWarps * kWarpRows;
    rows.normalization[0] = rows.normalization[1] = 0;
    for (unsigned first = quarter; first < quarter + kWarpRows; first += kWarpSize) {
      float force[kDimensions];
#pragma unroll
      for (unsigned c = 0; c < kDimensions; ++c) force[c] = shared.force[c][first + lane];
      const TsnePoint<kDimensions>* const column = shared.column + 2 * first + lane;
      if (row_tile == column_tile && phase == 0)
        add_columns<true>(column, (first - quarter) / kWarpSize, rows, force);
      else
        add_columns<false>(column, 0, rows, force);
#pragma unroll
      for (unsigned c = 0; c < kDimensions; ++c) shared.force[c][first + lane] = force[c];
    }
    sum += static_cast<double>(rows.normalization[0]) + rows.normalization[1];
    __syncthreads();
  }

#pragma unroll
  for (unsigned c = 0; c < kDimensions; ++c) {
    float* const of_rows = partials.row(column_tile, c, kDimensions);
#pragma unroll
    for (unsigned r = 0; r < kRows; ++r) of_rows[first_row + r * kWarpSize] = rows.force[c][r];
  }
  if (row_tile != column_tile)
    for (unsigned k = threadIdx.x; k < kTile; k += kThreads)
      for (unsigned c = 0; c < kDimensions; ++c)
        partials.column(row_tile, c, kDimensions)[blockIdx.y * kTile + k] = shared.force[c][k];
  sum = warp_sum(sum);
  if (lane == 0) shared.normalization[warp] = sum;
  __syncthreads();
  if (threadIdx.x != 0) return;
  sum = 0;
  for (const double part : shared.normalization) sum += part;
  *normalization = row_tile == column_tile ? sum : 2 * sum;
}

// Adds what a band's tiles did to each point, in the tiles' order.
template <unsigned kDimensions>
__global__ void __launch_bounds__(kReduceThreads) exact_reduce_kernel(TsneState state, ExactPartials partials) {
  if (!state.status->active) return;
  const unsigned i = blockIdx.x * kReduceThreads + threadIdx.x;
  if (i >= state.points) return;
  const unsigned own = i / partials.tile, last = partials.first + partials.count;
  const bool in_band = own >= partials.first && own < last;
  TsnePoint<kDimensions> force{};
#pragma unroll
  for (unsigned c = 0; c < kDimensions; ++c) {
    double sum = 0;
    if (in_band)
      for (unsigned tile = 0; tile < own; ++tile)
        sum += partials.column(tile, c, kDimensions)[i - partials.first * partials.tile];
    for (unsigned tile = max(own, partials.first); tile < last; ++tile) sum += partials.row(tile, c, kDimensions)[i];
    force.at[c] = static_cast<float>(sum);
  }
  auto& total = reinterpret_cast<TsnePoint<kDimensions>*>(state.force)[i];
  if (partials.first > 0)
    for (unsigned c = 0; c < kDimensions; ++c) force.at[c] += total.at[c];
  total = force;
}

struct ExactLayout {
  std::size_t of_rows, of_columns, normalization, bytes;  // offsets in bytes, and the end

  ExactLayout(unsigned points, unsigned dimensions, const TsneExactConfig& config) {
    const std::size_t tiles = tsne_exact_tiles(points, config), tile = kThreads * config.rows;
    const std::size_t band = config.band_tiles * tiles * tile * dimensions * sizeof(float);
    normalization = 0;
    of_rows = (tiles * tiles * sizeof(double) + 15) / 16 * 16;
    of_columns = of_rows + band;
    bytes = of_columns + band;
  }
};

template <unsigned kDimensions, unsigned kRows>
void launch_band(const TsneState& state, const ExactPartials& partials, cudaStream_t stream) {
  using Shared = ExactShared<kDimensions, kRows>;
  launch("tsne_exact", exact_kernel<kDimensions, kRows>,
         {.blocks = dim3(partials.tiles, partials.count), .threads = kThreads, .shared_bytes = sizeof(Shared)}, stream,
         state, partials);
}

template <unsigned kDimensions>
void run_band(const TsneState& state, unsigned rows, const ExactPartials& partials, cudaStream_t stream) {
  if (rows == 1) launch_band<kDimensions, 1>(state, partials, stream);
  if (rows == 2) launch_band<kDimensions, 2>(state, partials, stream);
  if (rows == 4) launch_band<kDimensions, 4>(state, partials, stream);
  if constexpr (kDimensions == 2)
    if (rows == 8) launch_band<kDimensions, 8>(state, partials, stream);
  launch("tsne_exact_reduce", exact_reduce_kernel<kDimensions>,
         {.blocks = (state.points + kReduceThreads - 1) / kReduceThreads, .threads = kReduceThreads}, stream, state,
         partials);
}

}  // namespace

TsneExactConfig choose_tsne_exact_config(unsigned points, unsigned dimensions, const cudaDeviceProp& device) {
  constexpr std::size_t kMostBytes = std::size_t{1} << 30;
  const auto enough = 4 * static_cast<std::size_t>(device.multiProcessorCount);
  // The largest tiles pay where six of their blocks fit a multiprocessor: four do not hide what instructions wait for.
  const bool roomy =
      device.sharedMemPerMultiprocessor >= 6 * (sizeof(ExactShared<2, 8>) + device.reservedSharedMemPerBlock);
  TsneExactConfig config{.rows = dimensions == 2 && roomy ? 8u : 4u};
  const auto pairs = [&] {
    const std::size_t tiles = tsne_exact_tiles(points, config);
    return tiles * (tiles + 1) / 2;
  };
  while (config.rows > 1 && pairs() < enough) config.rows /= 2;
  const std::size_t tiles = tsne_exact_tiles(points, config);
  const std::size_t bytes_a_tile = 2 * tiles * kThreads * config.rows * dimensions * sizeof(float);
  config.band_tiles = static_cast<unsigned>(std::clamp<std::size_t>(kMostBytes / bytes_a_tile, 1, tiles));
  return config;
}

std::size_t tsne_exact_workspace(unsigned points, unsigned dimensions, const TsneExactConfig& config) {
  return ExactLayout(points, dimensions, config).bytes;
}

void tsne_exact_repulsion(const TsneState& state, const TsneExactConfig& config, void* workspace, cudaStream_t stream) {
  const ExactLayout layout(state.points, state.dimensions, config);
  auto* const memory = static_cast<std::byte*>(workspace);
  ExactPartials partials{.of_rows = reinterpret_cast<float*>(memory + layout.of_rows),
                         .of_columns = reinterpret_cast<float*>(memory + layout.of_columns),
                         .normalization = reinterpret_cast<double*>(memory + layout.normalization),
                         .tiles = tsne_exact_tiles(state.points, config),
                         .tile = kThreads * config.rows,
                         .first = 0,
                         .count = 0};
  for (; partials.first < partials.tiles; partials.first += config.band_tiles) {
    partials.count = std::min(config.band_tiles, partials.tiles - partials.first);
    (state.dimensions == 2 ? run_band<2> : run_band<3>)(state, config.rows, partials, stream);
  }
  tsne_normalization(state, {partials.normalization, std::size_t{partials.tiles} * partials.tiles}, 0, stream);
}

}  // namespace lexiscope::cuda
