// Builds the table of a neighbour search. Coordinates are scaled by one power of two (under the cosine each row to norm
// 1) and moved to a middle that no few outliers can pull away: of a sample the means of 32 parts, and of these the
// median, column by column. What matters is that rounding to bf16 errs by 2^-9 of what is left.
#include <cmath>

#include "kernels/cuda/bf16.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/neighbors_table.h"
#include "kernels/cuda/warp.h"

namespace lexiscope::cuda {
namespace {

constexpr unsigned kThreads = 256, kWarps = kThreads / kWarpSize;
constexpr unsigned kParts = 32, kMostRowsAPart = 64;
constexpr int kLargestExponent =
    40;  // of a scaled coordinate: squares of 2^-63 are normal numbers, sums of 2^80 finite
constexpr float kSmallest = 0x1p-100f;  // below, x' is 0: no subnormal reaches the tensor cores

// A warp for a row.
LaunchShape shape_of(std::size_t rows) {
  return {.blocks = static_cast<unsigned>((rows + kWarps - 1) / kWarps), .threads = kThreads};
}

__device__ std::size_t row_of_warp() { return std::size_t{blockIdx.x} * kWarps + threadIdx.x / kWarpSize; }

// What a row's coordinates are multiplied with before anything else.
__device__ double scale_of(const NeighborsSummary& summary, const double* scales, std::size_t row) {
  if (scales) return scales[row];
  if (summary.largest_bits == 0) return 1;
  int exponent = 0;
  frexp(static_cast<double>(__uint_as_float(summary.largest_bits)), &exponent);
  return ldexp(1.0, kLargestExponent - exponent);
}

__global__ void __launch_bounds__(kThreads) clear_summary_kernel(NeighborsSummary* summary) {
  if (blockIdx.x == 0 && threadIdx.x == 0) *summary = {};
}

__global__ void __launch_bounds__(kThreads) largest_kernel(MatrixView<const float> x, NeighborsSummary* summary) {
  const std::size_t row = row_of_warp();
  if (row >= x.rows) return;
  float largest = 0;
  for (std::size_t column = threadIdx.x % kWarpSize; column < x.columns; column += kWarpSize)
    largest = fmaxf(largest, fabsf(x.row(row)[column]));
  const unsigned bits = __reduce_max_sync(kWholeWarp, __float_as_uint(largest));
  if (threadIdx.x % kWarpSize == 0) atomicMax(&summary->largest_bits, bits);
}

// `zeros` counts the zero vectors, where it is not null.
__global__ void __launch_bounds__(kThreads) scales_kernel(MatrixView<const float> x, double* scales, unsigned* zeros) {
  const std::size_t row = row_of_warp();
  if (row >= x.rows) return;
  double squares = 0;
  for (std::size_t column = threadIdx.x % kWarpSize; column < x.columns; column += kWarpSize) {
    const double value = x.row(row)[column];
    squares = fma(value, value, squares);
  }
  squares = warp_sum(squares);
  if (threadIdx.x % kWarpSize != 0) return;
  scales[row] = squares > 0 ? 1 / sqrt(squares) : 0;
  if (zeros && squares == 0) atomicAdd(zeros, 1u);
}

// The first `wanted` zero vectors in ascending order, by one block.
struct ZerosShared {
  unsigned counts[kWarps];
};
__global__ void __launch_bounds__(kThreads) zeros_kernel(const double* scales, std::size_t rows, unsigned wanted,
                                                         const NeighborsSummary* summary, std::int32_t* zeros) {
  auto& shared = shared_memory<ZerosShared>();
  const unsigned warp = threadIdx.x / kWarpSize, lane = threadIdx.x % kWarpSize;
  const unsigned all = min(summary->zero_points, wanted);
  unsigned found = 0;
  for (std::size_t first = 0; first < rows && found < all; first += kThreads) {
    const std::size_t row = first + threadIdx.x;
    const bool zero = row < rows && scales[row] == 0;
    const unsigned zeros_of_warp = __ballot_sync(kWholeWarp, zero);
    if (lane == 0) shared.counts[warp] = static_cast<unsigned>(__popc(zeros_of_warp));
    __syncthreads();
    unsigned place = found + static_cast<unsigned>(__popc(zeros_of_warp & ((1u << lane) - 1)));
    for (unsigned w = 0; w < kWarps; ++w) {
      if (w < warp) place += shared.counts[w];
      found += shared.counts[w];
    }
    if (zero && place < all) zeros[place] = static_cast<std::int32_t>(row);
    __syncthreads();
  }
}

constexpr unsigned kColumnsABlock = kThreads / kParts;
struct CenterShared {
  double means[kColumnsABlock][kParts];
};

// The thread of a column and a part.
__global__ void __launch_bounds__(kThreads)
    center_kernel(MatrixView<const float> x, const double* scales, const NeighborsSummary* summary, double* center) {
  auto& shared = shared_memory<CenterShared>();
  const unsigned part = threadIdx.x / kColumnsABlock, own = threadIdx.x % kColumnsABlock;
  const std::size_t column = std::size_t{blockIdx.x} * kColumnsABlock + own;
  const std::size_t a_part = min((x.rows + kParts - 1) / kParts, std::size_t{kMostRowsAPart});
  double sum = 0;
  for (std::size_t n = 0; n < a_part && column < x.columns; ++n) {
    const std::size_t row = (part * a_part + n) * x.rows / (kParts * a_part);
    sum = fma(static_cast<double>(x.row(row)[column]), scale_of(*summary, scales, row), sum);
  }
  const double mean = sum / static_cast<double>(a_part);
  shared.means[own][part] = mean;
  __syncthreads();
  unsigned before = 0;
  for (unsigned other = 0; other < kParts; ++other) {
    const double mean_of_other = shared.means[own][other];
    before += mean_of_other < mean || (mean_of_other == mean && other < part);
  }
  if (before == kParts / 2 && column < x.columns) center[column] = mean;
}

// y errs in double by (d + 8) roundings of norm(scaled x) + norm(y) at most, the scale's own error included.
__device__ RowTerms terms_of(double squares, double error_squares, double before_squares, double after_squares,
                             std::size_t d) {
  const double in_double = static_cast<double>(d + 8) * 0x1p-52 * (sqrt(before_squares) + sqrt(after_squares));
  return {static_cast<float>(squares / 2), static_cast<float>(sqrt(squares)) * kRoundUp,
          static_cast<float>(sqrt(error_squares) + in_double) * kRoundUp, 0};
}

// A warp for a row of whole tiles; `x` begins at the table's first row. A row past the last is all zeros.
__global__ void __launch_bounds__(kThreads)
    table_kernel(MatrixView<const float> x, const double* scales, const NeighborsSummary* summary, const double* center,
                 unsigned slices, TableRows table) {
  const std::size_t row = row_of_warp(), tile = row / kTileRows;
  const unsigned in_tile = static_cast<unsigned>(row % kTileRows);
  const bool inside = row < x.rows;
  const double scale = inside ? scale_of(*summary, scales, row) : 0;
  double squares = 0, error_squares = 0, before_squares = 0, after_squares = 0;
  for (unsigned column = threadIdx.x % kWarpSize; column < slices * kSliceColumns; column += kWarpSize) {
    const bool holds = inside && column < x.columns;
    const double before = holds ? x.row(row)[column] * scale : 0, y = holds ? before - center[column] : 0;
    std::uint16_t bits = bf16_bits(static_cast<float>(y));
    if (fabsf(from_bf16_bits(bits)) < kSmallest) bits = 0;
    const double rounded = from_bf16_bits(bits);
    squares = fma(rounded, rounded, squares);
    error_squares = fma(y - rounded, y - rounded, error_squares);
    before_squares = fma(before, before, before_squares);
    after_squares = fma(y, y, after_squares);
    const unsigned slice = column / kSliceColumns;
    table.rounded[(tile * slices + slice) * (kSliceBytes / 2) + place_in_slice(in_tile, column % kSliceColumns)] = bits;
  }
  RowTerms terms = terms_of(warp_sum(squares), warp_sum(error_squares), warp_sum(before_squares),
                            warp_sum(after_squares), x.columns);
  if (inside && scale == 0) terms.error = INFINITY;
  if (threadIdx.x % kWarpSize == 0) table.terms[row] = terms;
}

struct TileShared {
  unsigned error_bits, norm_bits;  // of numbers that are not negative: they order as the numbers do
};

// A block for a tile, a thread for a point.
__global__ void __launch_bounds__(kTileRows)
    tile_terms_kernel(const RowTerms* rows, std::size_t points, unsigned columns, TileTerms* tiles) {
  auto& shared = shared_memory<TileShared>();
  const std::size_t point = std::size_t{blockIdx.x} * kTileRows + threadIdx.x;
  const RowTerms terms = rows[point];
  const bool searched = point < points && terms.error != INFINITY;
  if (threadIdx.x == 0) shared = {0, 0};
  __syncthreads();
  const unsigned error = __reduce_max_sync(kWholeWarp, __float_as_uint(searched ? terms.error : 0.0f));
  const unsigned norm = __reduce_max_sync(kWholeWarp, __float_as_uint(searched ? terms.norm : 0.0f));
  if (threadIdx.x % kWarpSize == 0) {
    atomicMax(&shared.error_bits, error);
    atomicMax(&shared.norm_bits, norm);
  }
  __syncthreads();
  TileTerms& tile = tiles[blockIdx.x];
  tile.minus_half_squares[threadIdx.x] = searched ? -terms.half_square : -INFINITY;
  if (threadIdx.x != 0) return;
  const float largest_error = __uint_as_float(shared.error_bits) * kRoundUp;
  const float largest_norm = __uint_as_float(shared.norm_bits);
  tile.error = largest_error;
  tile.norm = largest_norm;
  tile.margin = (largest_error * largest_error / 2 + score_error(columns) * largest_norm * largest_norm) * kRoundUp +
                score_underflow(columns);
  tile.unused = 0;
}

void build_rows(const MatrixView<const float>& x, const double* scales, unsigned slices, const NeighborsTable& table,
                const TableRows& rows, cudaStream_t stream) {
  const std::size_t padded = (x.rows + kTileRows - 1) / kTileRows * kTileRows;
  launch("neighbors_table", table_kernel, shape_of(padded), stream, x, scales, table.summary, table.center, slices,
         rows);
}

}  // namespace

void build_scales(const NeighborsArgs& args, const NeighborsTable& table, cudaStream_t stream) {
  const MatrixView<const float>& points = args.points;
  const bool self = args.queries.empty();
  launch("neighbors_summary", clear_summary_kernel, {.blocks = 1, .threads = kThreads}, stream, table.summary);
  if (args.metric == Metric::euclidean) {
    launch("neighbors_largest", largest_kernel, shape_of(points.rows), stream, points, table.summary);
    if (!self)
      launch("neighbors_largest", largest_kernel, shape_of(args.queries.rows), stream, args.queries, table.summary);
    return;
  }
  launch("neighbors_scales", scales_kernel, shape_of(points.rows), stream, points, table.point_scales,
         &table.summary->zero_points);
  if (!self)
    launch("neighbors_scales", scales_kernel, shape_of(args.queries.rows), stream, args.queries, table.query_scales,
           nullptr);
  launch("neighbors_zeros", zeros_kernel, {.blocks = 1, .threads = kThreads, .shared_bytes = sizeof(ZerosShared)},
         stream, table.point_scales, points.rows, static_cast<unsigned>(args.indices.columns), table.summary,
         table.zeros);
}

void build_points_table(const NeighborsArgs& args, unsigned slices, const NeighborsTable& table, cudaStream_t stream) {
  const MatrixView<const float>& points = args.points;
  launch("neighbors_center", center_kernel,
         {.blocks = static_cast<unsigned>((points.columns + kColumnsABlock - 1) / kColumnsABlock),
          .threads = kThreads,
          .shared_bytes = sizeof(CenterShared)},
         stream, points, table.point_scales, table.summary, table.center);
  build_rows(points, table.point_scales, slices, table, table.points, stream);
  launch("neighbors_tiles", tile_terms_kernel,
         {.blocks = static_cast<unsigned>((points.rows + kTileRows - 1) / kTileRows),
          .threads = kTileRows,
          .shared_bytes = sizeof(TileShared)},
         stream, table.points.terms, points.rows, slices * kSliceColumns, table.tile_terms);
}

void build_queries_table(const NeighborsArgs& args, unsigned slices, const NeighborsTable& table, std::size_t first,
                         std::size_t last, cudaStream_t stream) {
  const double* scales = table.query_scales ? table.query_scales + first : nullptr;
  build_rows(args.queries.rows_from(first, last - first), scales, slices, table, table.queries, stream);
}

}  // namespace lexiscope::cuda
