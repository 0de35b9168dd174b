// A thread has a row of a tile and meets the columns of another tile, which lie in shared memory. A division costs as
// much as the rest of a pair, so four pairs share one: 1/a + 1/b = (a + b) / ab.
#include "kernels/cuda/block_sum.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/tsne_kl.h"

namespace lexiscope::cuda {
namespace {

constexpr unsigned kTile = kTsneKlTile;
constexpr unsigned kTermThreads = 256;
constexpr unsigned kFinishThreads = 1024;

template <unsigned kDimensions>
struct DoublePoint {
  double at[kDimensions];
};

template <unsigned kDimensions>
__device__ DoublePoint<kDimensions> point_at(const TsneKlMap& map, unsigned i) {
  DoublePoint<kDimensions> point;
  for (unsigned c = 0; c < kDimensions; ++c) point.at[c] = map.positions[i * map.stride + c];
  return point;
}

// 1 + norm(a - b)^2.
template <unsigned kDimensions>
__device__ double spread(const DoublePoint<kDimensions>& a, const DoublePoint<kDimensions>& b) {
  double s = 1;
#pragma unroll
  for (unsigned c = 0; c < kDimensions; ++c) {
    const double difference = a.at[c] - b.at[c];
    s = fma(difference, difference, s);
  }
  return s;
}

template <unsigned kDimensions>
struct PairsShared {
  DoublePoint<kDimensions> column[kTile];
  BlockSumShared sum;
};

// Blocks (column tile, row tile); those below the diagonal leave a 0.
template <unsigned kDimensions>
__global__ void __launch_bounds__(kTile) pairs_kernel(TsneKlMap map, unsigned first, double* pairs) {
  const unsigned row_tile = first + blockIdx.y, column_tile = blockIdx.x;
  double* const result = pairs + std::size_t{row_tile} * gridDim.x + column_tile;
  if (column_tile < row_tile) {
    if (threadIdx.x == 0) *result = 0;
    return;
  }
  auto& shared = shared_memory<PairsShared<kDimensions>>();
  const unsigned row = row_tile * kTile + threadIdx.x, first_column = column_tile * kTile;
  const unsigned columns = min(kTile, map.points - first_column);
  if (threadIdx.x < columns) shared.column[threadIdx.x] = point_at<kDimensions>(map, first_column + threadIdx.x);
  __syncthreads();
  double sum = 0;
  if (row < map.points) {
    const auto own = point_at<kDimensions>(map, row);
    unsigned k = row_tile == column_tile ? threadIdx.x + 1 : 0;
    for (; k + 4 <= columns; k += 4) {
      const double s0 = spread(own, shared.column[k]), s1 = spread(own, shared.column[k + 1]);
      const double s2 = spread(own, shared.column[k + 2]), s3 = spread(own, shared.column[k + 3]);
      const double low = s0 * s1, high = s2 * s3;
      sum += fma(s0 + s1, high, (s2 + s3) * low) / (low * high);
    }
    for (; k < columns; ++k) sum += 1 / spread(own, shared.column[k]);
  }
  sum = block_sum(sum, shared.sum);
  if (threadIdx.x == 0) *result = sum;
}

// What one row of the affinities adds: a warp a row.
template <unsigned kDimensions>
__global__ void __launch_bounds__(kTermThreads)
    terms_kernel(TsneKlMap map, CompressedRows affinities, double* sums, double* terms) {
  const auto row = static_cast<unsigned>((std::size_t{blockIdx.x} * kTermThreads + threadIdx.x) / kWarpSize);
  if (row >= map.points) return;
  const auto own = point_at<kDimensions>(map, row);
  double sum = 0, term = 0;
  for (std::int64_t e = affinities.row_offsets[row] + threadIdx.x % kWarpSize; e < affinities.row_offsets[row + 1];
       e += kWarpSize) {
    const double p = affinities.values[e];
    if (p == 0) continue;  // p log p tends to 0
    sum += p;
    term += p * log(p * spread(own, point_at<kDimensions>(map, static_cast<unsigned>(affinities.columns[e]))));
  }
  sum = warp_sum(sum);
  term = warp_sum(term);
  if (threadIdx.x % kWarpSize != 0) return;
  sums[row] = sum;
  terms[row] = term;
}

struct FinishShared {
  BlockSumShared sums[3];
};

__device__ double sum_of(const double* values, std::size_t count, BlockSumShared& shared) {
  double sum = 0;
  for (std::size_t k = threadIdx.x; k < count; k += kFinishThreads) sum += values[k];
  return block_sum(sum, shared);
}

struct KlParts {
  double *pairs, *sums, *terms;
  std::size_t pair_count, rows;
};

__global__ void __launch_bounds__(kFinishThreads) finish_kernel(KlParts parts, TsneKlSums* sums) {
  auto& shared = shared_memory<FinishShared>();
  const double pairs = sum_of(parts.pairs, parts.pair_count, shared.sums[0]);
  const double affinities = sum_of(parts.sums, parts.rows, shared.sums[1]);
  const double terms = sum_of(parts.terms, parts.rows, shared.sums[2]);
  if (threadIdx.x != 0) return;
  sums->pairs = pairs;
  sums->affinities = affinities;
  sums->terms = terms;
}

__global__ void __launch_bounds__(kTermThreads) check_positions_kernel(TsneKlMap map, unsigned* faulty) {
  const unsigned i = blockIdx.x * kTermThreads + threadIdx.x;
  if (i >= map.points) return;
  for (unsigned c = 0; c < map.dimensions; ++c)
    if (!(fabsf(map.positions[i * map.stride + c]) <= kTsneFarthest))
      atomicOr(faulty, kTsneKlPositionsFault);  // NaN too
}

KlParts parts_of(unsigned points, void* workspace) {
  const std::size_t tiles = tsne_kl_tiles(points);
  auto* const pairs = static_cast<double*>(workspace);
  return {pairs, pairs + tiles * tiles, pairs + tiles * tiles + points, tiles * tiles, points};
}

}  // namespace

std::size_t tsne_kl_workspace(unsigned points) {
  const std::size_t tiles = tsne_kl_tiles(points);
  return (tiles * tiles + 2 * std::size_t{points}) * sizeof(double);
}

void tsne_kl_check(const TsneKlMap& map, const CompressedRows& affinities, TsneKlSums* sums, cudaStream_t stream) {
  launch("tsne_kl_check", check_positions_kernel,
         {.blocks = (map.points + kTermThreads - 1) / kTermThreads, .threads = kTermThreads}, stream, map,
         &sums->faulty);
  tsne_take_affinities(affinities, nullptr, &sums->faulty, stream);
}

void tsne_kl_pairs(const TsneKlMap& map, unsigned first, unsigned last, void* workspace, cudaStream_t stream) {
  const bool flat = map.dimensions == 2;
  launch("tsne_kl_pairs", flat ? pairs_kernel<2> : pairs_kernel<3>,
         {.blocks = dim3(tsne_kl_tiles(map.points), last - first),
          .threads = kTile,
          .shared_bytes = flat ? sizeof(PairsShared<2>) : sizeof(PairsShared<3>)},
         stream, map, first, parts_of(map.points, workspace).pairs);
}

void tsne_kl_finish(const TsneKlMap& map, const CompressedRows& affinities, void* workspace, TsneKlSums* sums,
                    cudaStream_t stream) {
  const KlParts parts = parts_of(map.points, workspace);
  constexpr unsigned kRowsPerBlock = kTermThreads / kWarpSize;
  launch("tsne_kl_terms", map.dimensions == 2 ? terms_kernel<2> : terms_kernel<3>,
         {.blocks = (map.points + kRowsPerBlock - 1) / kRowsPerBlock, .threads = kTermThreads}, stream, map, affinities,
         parts.sums, parts.terms);
  launch("tsne_kl_finish", finish_kernel,
         {.blocks = 1, .threads = kFinishThreads, .shared_bytes = sizeof(FinishShared)}, stream, parts, sums);
}

}  // namespace lexiscope::cuda
