// The unit of attention_map's work on the cpu engine: up to 64 queries of one head against all its keys, and where
// what their weights show is added.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/attention_block.h"

namespace lexiscope::cpu {

inline constexpr std::size_t kMostMapLanes = 16;  ///< of any target's vectors: slack before and behind arrays of sums

/// Queries of a block that fall into one row of cells, and where their cells add up: in double where the row of cells
/// goes on beyond the block, else in the output itself.
struct CellRow {
  std::size_t first = 0, end = 0;  ///< lanes
  double* sums = nullptr;          ///< [P], or null
  float* out_sums = nullptr;       ///< [P], or null; not wanted where both are
  float* maxima = nullptr;         ///< [P], or null: not wanted
};

struct AttentionMapBlock {
  AttentionBlock scores;               ///< without values and outputs, unless attention itself is wanted
  std::size_t first_key = 0;           ///< where the keys begin: 0, but for a rectangle alone
  const float* log_sum_exp = nullptr;  ///< the first query's; null where attention itself is wanted

  float* received = nullptr;   ///< [T_k + kMostMapLanes], or null: gains the weights' sums down the columns
  float* diagonals = nullptr;  ///< or null: at [lane - key], gains the sums along diagonals; kMostMapLanes of slack

  std::size_t cells = 0;  ///< P, or 0: not wanted
  std::size_t all_keys = 0;
  const CellRow* cell_rows = nullptr;
  std::size_t cell_row_count = 0;

  std::size_t top = 0;  ///< k, or 0: not wanted
  std::int32_t* top_index = nullptr;
  float* top_weight = nullptr;
  std::size_t top_index_stride = 0, top_weight_stride = 0;

  float* rectangle = nullptr;  ///< its row for lane rectangle_lane, or null
  std::size_t rectangle_stride = 0;
  std::size_t rectangle_lane = 0, rectangle_lanes = 0;
  std::size_t rectangle_key = 0, rectangle_keys = 0;

  bool needs_weights() const noexcept { return received || diagonals || cells > 0 || rectangle; }
};

/// What one thread works in, cut from its part of the workspace.
struct AttentionMapScratch {
  AttentionScratch tiles;            ///< without `out`, unless attention itself is wanted
  float* diagonals = nullptr;        ///< [kDiagonalScratch]: a tile's diagonals, a row for each lane of a vector
  float* top_scores = nullptr;       ///< [k, kTileQueries], the largest first
  std::int32_t* top_keys = nullptr;  ///< the same shape
  std::size_t kept_tiles = 0;        ///< that attention leaves behind for the map: the first of a block
  float* kept = nullptr;             ///< [kept_tiles, kTileKeys, kTileQueries] 2^(score * log2_scale - reference)
  float* kept_reference = nullptr;   ///< [kept_tiles, kTileQueries]
};

/// Tiles of weights that a thread keeps at most, 4.5 MiB of them: beyond, their scores are multiplied twice.
inline constexpr std::size_t kMostKeptTiles = 192;

/// The most that diagonal rows take: [lanes][lanes * (vectors of queries + vectors of keys + 1)], with 1 to 16 lanes.
inline constexpr std::size_t kDiagonalScratch = kMostMapLanes * (kTileQueries + kTileKeys + kMostMapLanes);

}  // namespace lexiscope::cpu
