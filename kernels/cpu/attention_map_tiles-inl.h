// What attention_map reads off one tile of scores or weights, [key][64 queries]: sums down and along it, cells, the
// largest scores, a rectangle. Each reads the tile once more from the first-level cache, a fraction of its products.
#if defined(LEXISCOPE_KERNELS_CPU_ATTENTION_MAP_TILES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LEXISCOPE_KERNELS_CPU_ATTENTION_MAP_TILES_INL_H_
#undef LEXISCOPE_KERNELS_CPU_ATTENTION_MAP_TILES_INL_H_
#else
#define LEXISCOPE_KERNELS_CPU_ATTENTION_MAP_TILES_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <bit>

#include "kernels/cpu/attention_map_block.h"
#include "kernels/cpu/attention_tiles-inl.h"
#include "kernels/cpu/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lexiscope::cpu::HWY_NAMESPACE::attention_map_tiles {
using namespace attention_tiles;

/// What makes weights of a query's scores: factor * 2^(score * log2_scale - reference).
struct RowWeights {
  alignas(kAlignment) float reference[kTileQueries];
  alignas(kAlignment) float factor[kTileQueries];
};

/// Scores become weights, in place.
inline HWY_NOINLINE void weigh_map_tile(const Tile& tile, float log2_scale, const RowWeights& rows) {
  const Vector scale = hn::Set(F32(), log2_scale);
  for (std::size_t lane = 0; lane < tile.lanes; lane += kLanes) {
    const Vector reference = hn::Load(F32(), rows.reference + lane), factor = hn::Load(F32(), rows.factor + lane);
    for (std::size_t j = 0; j < tile.keys; ++j) {
      float* at = tile.values + j * kTileQueries + lane;
      const Vector x = hn::MulSub(hn::Load(F32(), at), scale, reference);
      hn::Store(hn::Mul(factor, exp2(x)), F32(), at);
    }
  }
}

/// tile = the weights of what attention left behind, 2^(score * log2_scale - kept_reference).
inline HWY_NOINLINE void rescale_map_tile(const Tile& tile, const float* HWY_RESTRICT kept, const float* kept_reference,
                                          const RowWeights& rows) {
  alignas(kAlignment) float factor[kTileQueries];
  for (std::size_t lane = 0; lane < tile.lanes; lane += kLanes) {
    const Vector x = hn::Sub(hn::Load(F32(), kept_reference + lane), hn::Load(F32(), rows.reference + lane));
    hn::Store(hn::Mul(hn::Load(F32(), rows.factor + lane), exp2(x)), F32(), factor + lane);
  }
  for (std::size_t row = 0; row < tile.keys * kTileQueries; row += kTileQueries)
    for (std::size_t lane = 0; lane < tile.lanes; lane += kLanes) {
      const Vector weight = hn::Mul(hn::Load(F32(), kept + row + lane), hn::Load(F32(), factor + lane));
      hn::Store(weight, F32(), tile.values + row + lane);
    }
}

/// The sum of a row's first `lanes` weights, a vector of it.
HWY_INLINE Vector sum_of_row(const float* row, std::size_t lanes) {
  Vector sum = hn::Load(F32(), row);
  for (std::size_t lane = kLanes; lane < lanes; lane += kLanes) sum = hn::Add(sum, hn::Load(F32(), row + lane));
  return sum;
}

/// received[key] += the key's weights, as many keys at a time as a vector has lanes.
inline HWY_NOINLINE void add_received(const Tile& tile, float* received) {
  for (std::size_t j = 0; j < tile.keys; j += kLanes) {
    const float* const rows = tile.values + j * kTileQueries;
    Vector sums[kLanes];
    if (j + kLanes <= tile.keys && tile.lanes == kTileQueries) {
#pragma GCC unroll 16
      for (std::size_t r = 0; r < kLanes; ++r) sums[r] = sum_of_row(rows + r * kTileQueries, kTileQueries);
    } else {
      for (std::size_t r = 0; r < kLanes; ++r)
        sums[r] = j + r < tile.keys ? sum_of_row(rows + r * kTileQueries, tile.lanes) : hn::Zero(F32());
    }
    const Vector columns = sums_of_rows(sums);
    float* at = received + tile.first_key + j;
    hn::StoreU(hn::Add(hn::LoadU(F32(), at), columns), F32(), at);
  }
}

inline constexpr std::size_t kKeyVectors = kTileKeys / kLanes, kQueryVectors = kTileQueries / kLanes;

/// The sums of one family of a whole tile's keys along its diagonals, where they all fit the registers.
HWY_INLINE void add_family(const float* values, float* sums) {
  Vector sum[kKeyVectors + kQueryVectors - 1];
#pragma GCC unroll 16
  for (Vector& s : sum) s = hn::Zero(F32());
#pragma GCC unroll 16
  for (std::size_t a = 0; a < kKeyVectors; ++a)
#pragma GCC unroll 16
    for (std::size_t b = 0; b < kQueryVectors; ++b) {
      Vector& s = sum[b + kKeyVectors - 1 - a];
      s = hn::Add(s, hn::Load(F32(), values + (a * kTileQueries + b) * kLanes));
    }
#pragma GCC unroll 16
  for (std::size_t place = 0; place < kKeyVectors + kQueryVectors - 1; ++place)
    hn::Store(sum[place], F32(), sums + place * kLanes);
}

/// diagonals[lane - key] += weight. Keys that are equal modulo the number of lanes shift a vector of queries by whole
/// vectors against each other: each such family adds up aligned, in its row of the scratch, and the rows are added
/// shifted at the end, each a lane further.
inline HWY_NOINLINE void add_diagonals(const Tile& tile, float* diagonals, float* scratch) {
  const std::size_t key_vectors = (tile.keys + kLanes - 1) / kLanes, query_vectors = tile.lanes / kLanes;
  const std::size_t places = key_vectors + query_vectors - 1, row = (places + 2) * kLanes;
  const bool whole = tile.keys == kTileKeys && tile.lanes == kTileQueries;
  for (std::size_t family = 0; family < kLanes; ++family) {
    float* sums = scratch + family * row;
    hn::Store(hn::Zero(F32()), F32(), sums);
    hn::Store(hn::Zero(F32()), F32(), sums + (places + 1) * kLanes);
    if constexpr (kKeyVectors + kQueryVectors <= 12)
      if (whole) {
        add_family(tile.values + family * kTileQueries, sums + kLanes);
        continue;
      }
    for (std::size_t place = 0; place < places; ++place) {  // query vector - key vector + key_vectors - 1
      Vector sum = hn::Zero(F32());
      const std::size_t first = key_vectors - 1 > place ? key_vectors - 1 - place : 0;
      for (std::size_t a = first; a < key_vectors && a + place + 1 < key_vectors + query_vectors; ++a) {
        const std::size_t j = a * kLanes + family;
        if (j < tile.keys)
          sum = hn::Add(sum, hn::Load(F32(), tile.values + j * kTileQueries + (a + place + 1 - key_vectors) * kLanes));
      }
      hn::Store(sum, F32(), sums + (place + 1) * kLanes);
    }
  }
  float* out = diagonals - tile.first_key - (key_vectors * kLanes - 1);
  for (std::size_t at = 0; at < (places + 1) * kLanes; at += kLanes) {
    Vector sum = hn::LoadU(F32(), out + at);
    for (std::size_t family = 0; family < kLanes; ++family)
      sum = hn::Add(sum, hn::LoadU(F32(), scratch + family * row + at + family + 1));
    hn::StoreU(sum, F32(), out + at);
  }
}

/// pool_keys for some vectors of queries: several at a time keep as many chains of sums in flight.
template <std::size_t kVectors>
HWY_INLINE void pool_vectors(const float* HWY_RESTRICT values, std::size_t keys, float* HWY_RESTRICT sums,
                             float* HWY_RESTRICT maxima) {
  Vector sum[kVectors], maximum[kVectors];
#pragma GCC unroll 4
  for (std::size_t v = 0; v < kVectors; ++v) sum[v] = maximum[v] = hn::Zero(F32());
  for (std::size_t j = 0; j < keys; ++j, values += kTileQueries)
#pragma GCC unroll 4
    for (std::size_t v = 0; v < kVectors; ++v) {
      const Vector weight = hn::Load(F32(), values + v * kLanes);
      sum[v] = hn::Add(sum[v], weight);
      maximum[v] = hn::Max(maximum[v], weight);
    }
#pragma GCC unroll 4
  for (std::size_t v = 0; v < kVectors; ++v) {
    hn::Store(sum[v], F32(), sums + v * kLanes);
    hn::Store(maximum[v], F32(), maxima + v * kLanes);
  }
}

/// The sum and the largest of a range of a tile's keys, a query.
inline void pool_keys(const Tile& tile, std::size_t first, std::size_t end, float* sums, float* maxima) {
  const float* const values = tile.values + first * kTileQueries;
  std::size_t lane = 0;
  for (; lane + 4 * kLanes <= tile.lanes; lane += 4 * kLanes)
    pool_vectors<4>(values + lane, end - first, sums + lane, maxima + lane);
  for (; lane < tile.lanes; lane += kLanes) pool_vectors<1>(values + lane, end - first, sums + lane, maxima + lane);
}

inline void fold_into_cell(const CellRow& row, std::size_t cell, const float* sums, const float* maxima) {
  double sum = 0;
  float maximum = 0;
  for (std::size_t lane = row.first; lane < row.end; ++lane) {
    sum += double{sums[lane]};
    maximum = std::max(maximum, maxima[lane]);
  }
  if (row.sums) row.sums[cell] += sum;
  if (row.out_sums) row.out_sums[cell] += static_cast<float>(sum);
  if (row.maxima) row.maxima[cell] = std::max(row.maxima[cell], maximum);
}

/// Adds the tile's weights to the cells that it touches.
inline HWY_NOINLINE void add_cells(const AttentionMapBlock& block, const Tile& tile) {
  alignas(kAlignment) float sums[kTileQueries], maxima[kTileQueries];
  const std::size_t end = tile.first_key + tile.keys;
  for (std::size_t key = tile.first_key; key < end;) {
    const std::size_t cell = key * block.cells / block.all_keys;
    const std::size_t next = std::min(end, ((cell + 1) * block.all_keys + block.cells - 1) / block.cells);
    pool_keys(tile, key - tile.first_key, next - tile.first_key, sums, maxima);
    for (std::size_t r = 0; r < block.cell_row_count; ++r) fold_into_cell(block.cell_rows[r], cell, sums, maxima);
    key = next;
  }
}

/// Puts a key into the lists of those lanes where `above` says that its score exceeds the list's last: behind equal
/// scores, which came earlier. What the score exceeds moves down a place. It goes through all of a list: where to stop
/// differs from time to time, and a processor that guesses wrong loses more.
HWY_INLINE void insert_key(Vector score, std::int32_t key, hn::Mask<F32> above, std::size_t top, float* scores,
                           std::int32_t* keys) {
  const I32 i32;
  const auto new_key = hn::Set(i32, key);
  Vector here = hn::Load(F32(), scores + (top - 1) * kTileQueries);
  auto key_here = hn::Load(i32, keys + (top - 1) * kTileQueries);
  for (std::size_t n = (top - 1) * kTileQueries; n > 0; n -= kTileQueries) {
    const Vector before = hn::Load(F32(), scores + n - kTileQueries);
    const auto key_before = hn::Load(i32, keys + n - kTileQueries);
    const auto above_before = hn::Gt(score, before);
    const auto key_moved = hn::IfThenElse(hn::RebindMask(i32, above_before), key_before, new_key);
    hn::Store(hn::Max(here, hn::Min(score, before)), F32(), scores + n);
    hn::Store(hn::IfThenElse(hn::RebindMask(i32, above), key_moved, key_here), i32, keys + n);
    here = before, key_here = key_before, above = above_before;
  }
  hn::Store(hn::Max(here, score), F32(), scores);
  hn::Store(hn::IfThenElse(hn::RebindMask(i32, above), new_key, key_here), i32, keys);
}

/// Puts the tile's scores above a query's k-th largest so far into its list. Few are.
inline HWY_NOINLINE void insert_largest(const Tile& tile, std::size_t top, const AttentionMapScratch& scratch) {
  for (std::size_t lane = 0; lane < tile.lanes; lane += kLanes) {
    float* const scores = scratch.top_scores + lane;
    std::int32_t* const keys = scratch.top_keys + lane;
    for (std::size_t j = 0; j < tile.keys; ++j) {
      const Vector score = hn::Load(F32(), tile.values + j * kTileQueries + lane);
      const auto above = hn::Gt(score, hn::Load(F32(), scores + (top - 1) * kTileQueries));
      if (!hn::AllFalse(F32(), above))
        insert_key(score, static_cast<std::int32_t>(tile.first_key + j), above, top, scores, keys);
    }
  }
}

/// The part of the rectangle that lies on the tile.
inline void write_rectangle(const AttentionMapBlock& block, const Tile& tile) {
  const std::size_t first = std::max(tile.first_key, block.rectangle_key);
  const std::size_t end = std::min(tile.first_key + tile.keys, block.rectangle_key + block.rectangle_keys);
  if (first >= end) return;
  const float* from = tile.values + (first - tile.first_key) * kTileQueries + block.rectangle_lane;
  transpose_words(reinterpret_cast<const std::byte*>(from), kTileQueries * sizeof(float), end - first,
                  block.rectangle_lanes, block.rectangle + (first - block.rectangle_key), block.rectangle_stride);
}

}  // namespace lexiscope::cpu::HWY_NAMESPACE::attention_map_tiles
HWY_AFTER_NAMESPACE();

#endif
