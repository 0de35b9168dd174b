// The parts of attention that see one tile at a time: both products, the mask, the exponentials. A tile is [row][64
// queries], so that maxima, exponentials, sums and scalings run down the lanes and never across them.
#if defined(LEXISCOPE_KERNELS_CPU_ATTENTION_TILES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LEXISCOPE_KERNELS_CPU_ATTENTION_TILES_INL_H_
#undef LEXISCOPE_KERNELS_CPU_ATTENTION_TILES_INL_H_
#else
#define LEXISCOPE_KERNELS_CPU_ATTENTION_TILES_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numbers>
#include <type_traits>

#include "kernels/cpu/attention_block.h"
#include "kernels/cpu/exp2-inl.h"
#include "kernels/cpu/word_product-inl.h"

#if HWY_TARGET == HWY_AVX3_DL  // Highway 1.0.3 has no target with bf16 products: widened for Bf16Native alone
HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512bf16")
#else
HWY_BEFORE_NAMESPACE();
#endif
namespace lexiscope::cpu::HWY_NAMESPACE::attention_tiles {
namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using I32 = hn::RebindToSigned<F32>;
using U32 = hn::RebindToUnsigned<F32>;

inline constexpr std::size_t kLanes = hn::MaxLanes(F32());
inline constexpr int kStripVectors = kLanes == 16 ? 4 : 2;  // of queries in a micro-kernel, or 1 of the last few
inline constexpr int kRows = 6;                             // of sums: 24 registers with AVX-512, 12 of 16 with AVX2
inline constexpr std::size_t kStrip = kLanes * kStripVectors;
inline constexpr float kNone = -std::numeric_limits<float>::infinity();  // the score of a key that is not seen

/// A tile's place: keys [first_key, first_key + keys), the first `lanes` lanes.
struct Tile {
  float* values;
  std::size_t first_key, keys, lanes;
};

/// sums[r][strip] += sum over n of a[r * row + n * step] * b[n][strip]. One of row and step is 1: rows of words for
/// the scores, columns for the values.
template <typename Product, int kSums, int kVectors, typename Row, typename Step>
HWY_INLINE void multiply_accumulate(const float* HWY_RESTRICT a, Row row, Step step, const float* HWY_RESTRICT b,
                                    std::size_t count, Vector (&sums)[kSums][kVectors]) {
  for (std::size_t n = 0; n < count; ++n) {
    Vector columns[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) columns[v] = hn::Load(F32(), b + n * kTileQueries + v * kLanes);
#pragma GCC unroll 6
    for (int r = 0; r < kSums; ++r) {
      const Vector broadcast = hn::Set(F32(), a[r * row + n * step]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sums[r][v] = Product::multiply_add(broadcast, columns[v], sums[r][v]);
    }
  }
}

template <int kSums, int kVectors>
HWY_INLINE void set_zero(Vector (&sums)[kSums][kVectors]) {
#pragma GCC unroll 6
  for (int r = 0; r < kSums; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sums[r][v] = hn::Zero(F32());
}

using One = std::integral_constant<std::size_t, 1>;

/// scores[r][strip] = k_r . q for kKeys keys; tile_maximum[strip] takes part in their maximum.
template <typename Product, int kVectors, int kKeys>
HWY_NOINLINE void score_keys(const float* key, std::size_t words, const float* query, float* scores,
                             float* tile_maximum) {
  Vector sums[kKeys][kVectors];
  set_zero(sums);
  multiply_accumulate<Product>(key, words, One(), query, words, sums);
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    Vector maximum = hn::Load(F32(), tile_maximum + v * kLanes);
#pragma GCC unroll 6
    for (int r = 0; r < kKeys; ++r) {
      maximum = hn::Max(maximum, sums[r][v]);
      hn::Store(sums[r][v], F32(), scores + r * kTileQueries + v * kLanes);
    }
    hn::Store(maximum, F32(), tile_maximum + v * kLanes);
  }
}

/// out[c][strip] += sum over rows j of value[j][c] * weights[j][strip] for kColumns columns. The tile's sum is taken
/// from zero: the chains of additions are then a tile and the number of tiles long, not T.
template <typename Product, int kVectors, int kColumns>
HWY_NOINLINE void add_value_columns(const float* value, std::size_t head_dim, std::size_t rows, const float* weights,
                                    float* out) {
  Vector sums[kColumns][kVectors];
  set_zero(sums);
  multiply_accumulate<Product>(value, One(), head_dim, weights, rows, sums);
#pragma GCC unroll 6
  for (int c = 0; c < kColumns; ++c)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      float* at = out + c * kTileQueries + v * kLanes;
      hn::Store(hn::Add(hn::Load(F32(), at), sums[c][v]), F32(), at);
    }
}

/// score_keys and add_value_columns for a number of rows that is known at run time only, 1 to kMost.
template <typename Product, int kVectors, int kMost = kRows>
HWY_INLINE void score_up_to(std::size_t keys, const float* key, std::size_t words, const float* query, float* scores,
                            float* tile_maximum) {
  if constexpr (kMost > 1)
    if (keys < kMost) return score_up_to<Product, kVectors, kMost - 1>(keys, key, words, query, scores, tile_maximum);
  score_keys<Product, kVectors, kMost>(key, words, query, scores, tile_maximum);
}

template <typename Product, int kVectors, int kMost = kRows>
HWY_INLINE void add_values_up_to(std::size_t columns, const float* value, std::size_t head_dim, std::size_t rows,
                                 const float* weights, float* out) {
  if constexpr (kMost > 1)
    if (columns < kMost)
      return add_values_up_to<Product, kVectors, kMost - 1>(columns, value, head_dim, rows, weights, out);
  add_value_columns<Product, kVectors, kMost>(value, head_dim, rows, weights, out);
}

/// Lanes that a block's queries take: whole vectors.
inline std::size_t lanes_of(const AttentionBlock& block) { return (block.queries + kLanes - 1) / kLanes * kLanes; }

/// score_tile for the lanes of some vectors.
template <typename Product, int kVectors>
HWY_INLINE void score_strip(const AttentionBlock& block, std::size_t first_key, std::size_t keys, std::size_t lane,
                            const AttentionScratch& scratch, float* tile_maximum) {
  const std::size_t words = (block.head_dim + Product::kElements - 1) / Product::kElements;
  for (std::size_t j = 0; j < keys; j += kRows)
    score_up_to<Product, kVectors>(std::min<std::size_t>(kRows, keys - j), block.key + (first_key + j) * words, words,
                                   scratch.query + lane, scratch.weights + j * kTileQueries + lane,
                                   tile_maximum + lane);
}

/// Scores of `keys` keys and their maximum a query, in the first `lanes` lanes.
template <typename Product>
void score_tile(const AttentionBlock& block, std::size_t first_key, std::size_t keys, std::size_t lanes,
                const AttentionScratch& scratch, float* tile_maximum) {
  std::fill_n(tile_maximum, kTileQueries, kNone);
  std::size_t lane = 0;
  for (; lane + kStrip <= lanes; lane += kStrip)
    score_strip<Product, kStripVectors>(block, first_key, keys, lane, scratch, tile_maximum);
  for (; lane < lanes; lane += kLanes) score_strip<Product, 1>(block, first_key, keys, lane, scratch, tile_maximum);
}

/// add_values for the lanes of some vectors.
template <typename Product, int kVectors>
HWY_INLINE void add_strip_values(const AttentionBlock& block, std::size_t first_key, std::size_t keys, std::size_t lane,
                                 const AttentionScratch& scratch) {
  const std::size_t rows = (keys + Product::kElements - 1) / Product::kElements;
  const float* value = block.value + first_key / Product::kElements * block.head_dim;
  for (std::size_t c = 0; c < block.head_dim; c += kRows)
    add_values_up_to<Product, kVectors>(std::min<std::size_t>(kRows, block.head_dim - c), value + c, block.head_dim,
                                        rows, scratch.weights + lane, scratch.out + c * kTileQueries + lane);
}

/// out += value^T weights for the tile's keys.
template <typename Product>
void add_values(const AttentionBlock& block, std::size_t first_key, std::size_t keys, std::size_t lanes,
                const AttentionScratch& scratch) {
  std::size_t lane = 0;
  for (; lane + kStrip <= lanes; lane += kStrip)
    add_strip_values<Product, kStripVectors>(block, first_key, keys, lane, scratch);
  for (; lane < lanes; lane += kLanes) add_strip_values<Product, 1>(block, first_key, keys, lane, scratch);
}

inline bool has_visible_key(const AttentionBlock& block, std::size_t first_key, std::size_t keys) {
  if (!block.key_padding) return true;
  const std::uint8_t* first = block.key_padding + first_key;
  return std::any_of(first, first + keys, [](std::uint8_t visible) { return visible != 0; });
}

inline bool needs_mask(const AttentionBlock& block, std::size_t first_key, std::size_t keys) {
  const bool on_diagonal = block.causal && static_cast<std::ptrdiff_t>(first_key + keys) > block.first_limit;
  return on_diagonal || block.key_padding;
}

/// What turns a product with the packed queries into an exponent of 2. A scale of 0 has packed zeros for queries; any
/// other factor serves them.
inline float log2_scale_of(const AttentionBlock& block) {
  const double magnitude = block.scale == 0 ? 1.0 : std::abs(double{block.scale});
  return static_cast<float>(magnitude * std::numbers::log2e);
}

/// Scores of keys that a query does not see become -infinity; the maximum is taken anew.
inline void mask_tile(const AttentionBlock& block, std::size_t first_key, std::size_t keys, std::size_t lanes,
                      float* scores, float* tile_maximum) {
  float first_seeing[kTileKeys];  // the first query of the block that sees the key
  for (std::size_t j = 0; j < keys; ++j) {
    const auto key = static_cast<std::ptrdiff_t>(first_key + j);
    first_seeing[j] = block.causal ? static_cast<float>(key + 1 - block.first_limit) : 0.0f;
    if (block.key_padding && block.key_padding[key] == 0) first_seeing[j] = static_cast<float>(kTileQueries);  // none
  }
  for (std::size_t lane = 0; lane < lanes; lane += kLanes) {
    const Vector query = hn::Iota(F32(), static_cast<float>(lane)), none = hn::Set(F32(), kNone);
    Vector maximum = none;
    for (std::size_t j = 0; j < keys; ++j) {
      float* at = scores + j * kTileQueries + lane;
      const auto unseen = hn::Lt(query, hn::Set(F32(), first_seeing[j]));
      const Vector score = hn::IfThenElse(unseen, none, hn::Load(F32(), at));
      hn::Store(score, F32(), at);
      maximum = hn::Max(maximum, score);
    }
    hn::Store(maximum, F32(), tile_maximum + lane);
  }
}

/// The smallest exponent of a weight that counts. A row's weights sum to 1 at least, of which 2^24 fainter ones make up
/// less than 2^-76; and their products with values would be subnormal, which take a hundred times as long.
inline constexpr float kFaintest = -100;

/// A weight 2^x, x = score * log2_scale - reference, and what the sums take of it.
template <bool kEntropy>
HWY_INLINE Vector weigh(Vector score, Vector log2_scale, Vector reference, Vector& sum, Vector& moment) {
  const Vector x = hn::MulSub(score, log2_scale, reference), faintest = hn::Set(F32(), kFaintest);
  const Vector weight = hn::IfThenElseZero(hn::Ge(x, faintest), exp2(x));
  sum = hn::Add(sum, weight);
  // Below, down to the -infinity of an unseen key, the weight is 0: any finite x will do for their product.
  if constexpr (kEntropy) moment = hn::MulAdd(weight, hn::Max(x, faintest), moment);
  return weight;
}

/// weigh_tile on some vectors of queries: with two at a time, two chains of exponentials are in flight.
template <typename Product, bool kEntropy, int kVectors>
HWY_INLINE void weigh_vectors(float* tile, std::size_t keys, Vector scale, const float* reference, float* sum,
                              float* moment) {
  Vector references[kVectors], sums[kVectors], moments[kVectors];
#pragma GCC unroll 2
  for (int v = 0; v < kVectors; ++v) {
    references[v] = hn::Load(F32(), reference + v * kLanes);
    sums[v] = moments[v] = hn::Zero(F32());
  }
  for (std::size_t j = 0; j < keys; j += 2)
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      float* at = tile + j * kTileQueries + v * kLanes;
      const bool two = j + 1 < keys;
      const Vector first = weigh<kEntropy>(hn::Load(F32(), at), scale, references[v], sums[v], moments[v]);
      Vector second = hn::Zero(F32());
      if (two) second = weigh<kEntropy>(hn::Load(F32(), at + kTileQueries), scale, references[v], sums[v], moments[v]);
      if constexpr (Product::kElements == 2) {
        hn::Store(Product::pair(first, second), F32(), tile + j / 2 * kTileQueries + v * kLanes);
      } else {
        hn::Store(first, F32(), at);
        if (two) hn::Store(second, F32(), at + kTileQueries);
      }
    }
#pragma GCC unroll 2
  for (int v = 0; v < kVectors; ++v) {
    const std::size_t at = v * kLanes;
    hn::Store(hn::Add(hn::Load(F32(), sum + at), sums[v]), F32(), sum + at);
    if constexpr (kEntropy) hn::Store(hn::Add(hn::Load(F32(), moment + at), moments[v]), F32(), moment + at);
  }
}

/// Scores become weights, in place (bf16: two rows of them in one of words); sum gains their sum a query, and moment
/// the sum of weight * x, from which the entropy follows.
template <typename Product, bool kEntropy>
HWY_NOINLINE void weigh_tile(float* tile, std::size_t keys, std::size_t lanes, float log2_scale, const float* reference,
                             float* sum, float* moment) {
  const Vector scale = hn::Set(F32(), log2_scale);
  std::size_t lane = 0;
  for (; lane + 2 * kLanes <= lanes; lane += 2 * kLanes)
    weigh_vectors<Product, kEntropy, 2>(tile + lane, keys, scale, reference + lane, sum + lane, moment + lane);
  if (lane < lanes)
    weigh_vectors<Product, kEntropy, 1>(tile + lane, keys, scale, reference + lane, sum + lane, moment + lane);
}

/// out[c][r] = in[r][c] for 32-bit words. The stride of `in` is in bytes: its rows may start anywhere.
inline void transpose_words(const std::byte* in, std::size_t in_stride, std::size_t rows, std::size_t columns,
                            float* out, std::size_t out_stride) {
  std::size_t whole_rows = 0, whole_columns = 0;
#if HWY_TARGET != HWY_SCALAR  // squares of 4
  whole_rows = rows - rows % 4, whole_columns = columns - columns % 4;
  const hn::FixedTag<float, 4> words;
  const hn::FixedTag<double, 2> pairs;
  for (std::size_t r = 0; r < whole_rows; r += 4)
    for (std::size_t c = 0; c < whole_columns; c += 4) {
      const auto load = [&](std::size_t row) HWY_ATTR {
        return hn::LoadU(words, reinterpret_cast<const float*>(in + (r + row) * in_stride) + c);
      };
      const auto row0 = load(0), row1 = load(1), row2 = load(2), row3 = load(3);
      const auto low01 = hn::BitCast(pairs, hn::InterleaveLower(words, row0, row1));
      const auto high01 = hn::BitCast(pairs, hn::InterleaveUpper(words, row0, row1));
      const auto low23 = hn::BitCast(pairs, hn::InterleaveLower(words, row2, row3));
      const auto high23 = hn::BitCast(pairs, hn::InterleaveUpper(words, row2, row3));
      float* to = out + c * out_stride + r;
      hn::StoreU(hn::BitCast(words, hn::InterleaveLower(pairs, low01, low23)), words, to);
      hn::StoreU(hn::BitCast(words, hn::InterleaveUpper(pairs, low01, low23)), words, to + out_stride);
      hn::StoreU(hn::BitCast(words, hn::InterleaveLower(pairs, high01, high23)), words, to + 2 * out_stride);
      hn::StoreU(hn::BitCast(words, hn::InterleaveUpper(pairs, high01, high23)), words, to + 3 * out_stride);
    }
#endif
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = r < whole_rows ? whole_columns : 0; c < columns; ++c)
      std::memcpy(out + c * out_stride + r, in + r * in_stride + c * sizeof(float), sizeof(float));
}

/// The block's queries as words, transposed; zero in the lanes beyond them.
template <typename Product>
void pack_queries(const AttentionBlock& block, float* packed) {
  const std::size_t whole = block.head_dim / Product::kElements;
  const std::size_t words = (block.head_dim + Product::kElements - 1) / Product::kElements;
  if (block.queries < kTileQueries || block.scale == 0) std::fill_n(packed, words * kTileQueries, 0.0f);
  if (block.scale == 0) return;  // all scores are 0, and stay finite
  transpose_words(block.query, block.query_stride, block.queries, whole, packed, kTileQueries);
  if (words > whole)  // an odd end of bf16: a half word
    for (std::size_t i = 0; i < block.queries; ++i) {
      std::uint16_t last;
      std::memcpy(&last, block.query + i * block.query_stride + whole * sizeof(float), sizeof last);
      packed[whole * kTileQueries + i] = std::bit_cast<float>(std::uint32_t{last});
    }
  if (block.scale < 0) {  // the scale's sign goes into the queries, so that the largest score is the largest product
    const auto signs = hn::Set(U32(), Product::kElements == 2 ? 0x80008000u : 0x80000000u);
    for (std::size_t at = 0; at < words * kTileQueries; at += kLanes) {
      const auto bits = hn::BitCast(U32(), hn::Load(F32(), packed + at));
      hn::Store(hn::BitCast(F32(), hn::Xor(bits, signs)), F32(), packed + at);
    }
  }
}

}  // namespace lexiscope::cpu::HWY_NAMESPACE::attention_tiles
HWY_AFTER_NAMESPACE();

#endif
