// The points of a neighbour search as tensor cores take them: scaled, moved to their middle, rounded to bf16, with a
// proven bound on what the rounding did to every distance.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lexiscope/ops/neighbors.h"
#include "simt/cuda.h"

namespace lexiscope::cuda {

inline constexpr unsigned kTileRows = 128;     ///< rows of a tile, of queries as of points
inline constexpr unsigned kSliceColumns = 64;  ///< a tile is stored slice by slice
inline constexpr unsigned kSliceBytes = kTileRows * kSliceColumns * 2;

/// Where a column of a row lies in its slice, in elements: as shared memory holds it. Pieces of 8 change places by the
/// row, so that the same piece of eight neighbouring rows lies in all banks once.
__host__ __device__ constexpr unsigned place_in_slice(unsigned row, unsigned column) {
  return row * kSliceColumns + (column / 8 ^ row % 8) * 8 + column % 8;
}

/// What bounds need of a row, of which the table holds x', the rounded y. Each is rounded up but for the half square.
struct alignas(16) RowTerms {
  float half_square;  ///< norm(x')^2 / 2
  float norm;         ///< norm(x')
  float error;        ///< norm(y - x'); infinite for a zero vector under the cosine, of which no place is right
  float unused;
};

/// What the filter needs of a tile of points.
struct alignas(16) TileTerms {
  float minus_half_squares[kTileRows];  ///< -infinity: the point is never a candidate
  float error, norm;                    ///< the largest of the tile's
  float margin;                         ///< error^2 / 2 and what rounding adds whatever the query
  float unused;
};

/// Of all points and queries at once.
struct NeighborsSummary {
  unsigned largest_bits;  ///< of the largest magnitude of a coordinate
  unsigned zero_points;   ///< cosine: how many points are zero vectors
};

/// Rows of one kind, whole tiles of them.
struct TableRows {
  std::uint16_t* rounded;  ///< [tiles][slices][place_in_slice]: x' in bf16, zeros past the last column and row
  RowTerms* terms;         ///< [tiles * kTileRows]
};

/// Device memory, all of it.
struct NeighborsTable {
  NeighborsSummary* summary;
  double* center;         ///< [d], in scaled coordinates
  double* point_scales;   ///< [N], cosine alone: 1 / norm, 0 for a zero vector
  double* query_scales;   ///< [M], the same of queries of their own
  std::int32_t* zeros;    ///< [k], cosine alone: the first zero vectors among the points, ascending
  TableRows points;       ///< all N
  TileTerms* tile_terms;  ///< [tiles of points]
  TableRows queries;      ///< of one chunk; the points' where these are the queries
};

/// An inner product of x' of `columns` terms, started at -norm(x'_j)^2 / 2, errs by at most
///   score_error(columns) (norm(x'_i) + norm(x'_j))^2 + underflow(columns),
/// all roundings of the bounds made from it included (docs/numerics.md).
__host__ __device__ constexpr float score_error(unsigned columns) {
  return (0.625f * static_cast<float>(columns) + 14) * 0x1p-24f;
}
__host__ __device__ constexpr float score_underflow(unsigned columns) {
  return static_cast<float>(columns) * 0x1p-124f;
}
inline constexpr float kRoundUp = 1 + 0x1p-20f, kRoundDown = 1 - 0x1p-20f;  ///< factors for a few roundings of f32

/// Enqueues the scales of the cosine and its zero vectors, or what the common scale needs.
void build_scales(const NeighborsArgs& args, const NeighborsTable& table, cudaStream_t stream);

/// Enqueues what else all chunks share: center, the points' table and tiles.
void build_points_table(const NeighborsArgs& args, unsigned slices, const NeighborsTable& table, cudaStream_t stream);

/// Enqueues the table of queries [first, last) of their own.
void build_queries_table(const NeighborsArgs& args, unsigned slices, const NeighborsTable& table, std::size_t first,
                         std::size_t last, cudaStream_t stream);

}  // namespace lexiscope::cuda
