// The points of a neighbour search as 16-bit codes with a proven bound on what rounding to codes did to distances.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/context.h"
#include "lexiscope/ops/neighbors.h"

namespace lexiscope::cpu {

/// What the SIMD target asks of the codes.
struct CodeFormat {
  std::size_t lanes;  ///< 32-bit words in a vector: as many points lie side by side
  std::size_t tile;   ///< the scan takes this many points at once
};

struct NeighborsConfig {
  CodeFormat format;
  bool use_codes;             ///< false: few queries, for which laying out the codes costs more than it saves
  int levels;                 ///< codes lie in -levels .. levels
  std::size_t block_rows;     ///< queries that a thread works on at once
  std::size_t chunk_points;   ///< points that it scans before it looks at what was proposed; a multiple of the tile
  std::size_t capacity;       ///< neighbours that a query collects before it drops all but the nearest
  std::size_t rows_per_call;  ///< queries between two looks at a stop token
};

/// A pure function of the format and the shape: N points, M queries, d columns, k neighbours.
NeighborsConfig choose_neighbors_config(CodeFormat format, std::size_t N, std::size_t M, std::size_t d, std::size_t k,
                                        int threads);

/// What holds for all points at once.
struct TableSummary {
  double unit;  ///< Euclidean: the power of two that brings coordinates near 1
  double step;  ///< what one level of a code stands for
  double mean_norm;
  double largest_error;     ///< over points: norm(turned coordinates - what their code stands for)
  std::size_t zero_points;  ///< cosine: how many of the first zero vectors are listed
};

/// Pointers into the workspace. Coordinates are scaled (Euclidean: by `unit`; cosine: to norm 1), moved by `mean` and
/// turned by a fixed rotation, which keeps distances and evens out the columns, so that a step common to all columns
/// fits them.
struct NeighborsTable {
  TableSummary* summary;
  double* mean;                      ///< [d], in scaled coordinates
  double* signs;                     ///< [d], +1 or -1: the rotation's
  double* inverse_norms;             ///< [N], cosine only; 0 for a zero vector
  std::int32_t* zero_indices;        ///< [k], cosine only, ascending
  std::int32_t* words;               ///< [N / lanes][pairs][lanes]: two codes a word
  std::int32_t* minus_half_squares;  ///< [N]: see make_codes; kExcluded where a point is never proposed
  double* turned;                    ///< [threads][d]: coordinates at work
  std::size_t pairs;                 ///< words a point: two columns each
  std::size_t padded_points;         ///< N rounded up to whole tiles
};

inline constexpr std::int32_t kLowestThreshold = -(1 << 30);  ///< every score of a point that may be proposed is above
inline constexpr std::int32_t kExcluded = -2147483647;        ///< the score of a point that is never proposed
inline constexpr std::int32_t kProposeNothing = 2147483647;

NeighborsTable cut_neighbors_table(WorkspaceCutter& cutter, const NeighborsArgs& args, const NeighborsConfig& config,
                                   int threads);

/// Fills the table.
void build_neighbors_table(const NeighborsArgs& args, const NeighborsConfig& config, const NeighborsTable& table,
                           int threads);

/// A query's codes, and the numbers that its thresholds need.
struct QueryCode {
  double error;      ///< norm(turned coordinates - what the code stands for), at most
  double own_score;  ///< the score of a point with the same code
};

/// Writes the codes of `x` times `scale` to words [pairs]. `turned` [d] is scratch.
QueryCode encode_query(const NeighborsConfig& config, const NeighborsTable& table, const float* x, std::size_t d,
                       double scale, double* turned, std::int32_t* words);

/// 1 / norm(x) in double; 0 where x is zero.
double inverse_norm(const float* x, std::size_t d);

}  // namespace lexiscope::cpu
