// The unit of attention's work on the cpu engine: up to 64 queries of one head against all its keys.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lexiscope/tensor.h"

namespace lexiscope::cpu {

inline constexpr std::size_t kTileQueries = 64;  ///< queries of a block: the lanes of a tile
inline constexpr std::size_t kTileKeys = 96;     ///< keys of a tile: 24 KiB of scores, within the first-level cache

/// Keys and values come as 32-bit words: an f32, or two bf16 that follow each other where the product sums (a key's
/// columns 2c and 2c + 1; a value's rows 2j and 2j + 1), the first in the low half, zero behind an odd end. Rows are
/// dense.
struct AttentionBlock {
  DType dtype = DType::f32;
  std::size_t head_dim = 0;
  std::size_t queries = 0;                    ///< of this block, 1 to kTileQueries
  const std::byte* query = nullptr;           ///< the first of them, of `dtype`
  std::size_t query_stride = 0;               ///< in bytes
  const float* key = nullptr;                 ///< the head's first; a row is (head_dim + elements - 1) / elements words
  const float* value = nullptr;               ///< the head's first, or first two; a row is head_dim words
  std::size_t keys = 0;                       ///< that at least one of the queries may see
  bool causal = false;                        ///< query i of the block sees key j where j < first_limit + i
  std::ptrdiff_t first_limit = 0;             ///< may be negative
  const std::uint8_t* key_padding = nullptr;  ///< 0 where the key is padding; null for none
  float scale = 0;

  float* out = nullptr;  ///< the first query's row
  std::size_t out_stride = 0;
  float* log_sum_exp = nullptr;  ///< the first query's, as all below; null where not wanted
  float* entropy = nullptr;
  float* maximum = nullptr;
  std::int32_t* argmax = nullptr;
};

/// What one thread works in, cut from its part of the workspace. Tiles are [row][kTileQueries].
struct AttentionScratch {
  float* query = nullptr;    ///< [words of a query]
  float* weights = nullptr;  ///< [kTileKeys]: scores, then weights in their place
  float* out = nullptr;      ///< [head_dim]
};

}  // namespace lexiscope::cpu
