// Attention of one block of queries, tile by tile, and what is kept of each query on the way.
#if defined(LEXISCOPE_KERNELS_CPU_ATTENTION_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LEXISCOPE_KERNELS_CPU_ATTENTION_ROWS_INL_H_
#undef LEXISCOPE_KERNELS_CPU_ATTENTION_ROWS_INL_H_
#else
#define LEXISCOPE_KERNELS_CPU_ATTENTION_ROWS_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "kernels/cpu/attention_tiles-inl.h"

#if HWY_TARGET == HWY_AVX3_DL  // as attention_tiles-inl.h
HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512bf16")
#else
HWY_BEFORE_NAMESPACE();
#endif
namespace lexiscope::cpu::HWY_NAMESPACE::attention_tiles {

/// What is kept of each query between tiles. Weights are 2^(score * log2_scale - reference); the reference is close
/// below the maximum so far, and need not be it.
struct RunningRows {
  alignas(kAlignment) float tile_maximum[kTileQueries];
  alignas(kAlignment) float reference[kTileQueries];
  alignas(kAlignment) float sum[kTileQueries] = {};
  alignas(kAlignment) float moment[kTileQueries] = {};
  alignas(kAlignment) float maximum[kTileQueries];
  alignas(kAlignment) std::int32_t argmax[kTileQueries];

  RunningRows() {
    std::fill_n(reference, kTileQueries, std::numeric_limits<float>::lowest());
    std::fill_n(maximum, kTileQueries, kNone);
    std::fill_n(argmax, kTileQueries, -1);
  }
};

/// Where a tile's maximum beats the one so far, takes it and the first key that has it.
inline void update_maximum(std::size_t first_key, std::size_t keys, std::size_t lanes, const float* scores,
                           RunningRows& rows) {
  const F32 f32;
  const I32 i32;
  for (std::size_t lane = 0; lane < lanes; lane += kLanes) {
    const Vector tile = hn::Load(f32, rows.tile_maximum + lane), before = hn::Load(f32, rows.maximum + lane);
    const auto better = hn::Gt(tile, before);
    if (hn::AllFalse(f32, better)) continue;
    auto position = hn::Zero(i32);
    for (std::size_t j = keys; j-- > 0;) {
      const auto here = hn::Eq(hn::Load(f32, scores + j * kTileQueries + lane), tile);
      position =
          hn::IfThenElse(hn::RebindMask(i32, here), hn::Set(i32, static_cast<std::int32_t>(first_key + j)), position);
    }
    hn::Store(hn::IfThenElse(better, tile, before), f32, rows.maximum + lane);
    const auto argmax = hn::Load(i32, rows.argmax + lane);
    hn::Store(hn::IfThenElse(hn::RebindMask(i32, better), position, argmax), i32, rows.argmax + lane);
  }
}

/// Raises the reference of queries whose maximum has outgrown it, and scales down what was summed under the old one.
/// Weights up to 2^8 lose nothing in f32 or bf16, and with that slack few tiles after the first raise any.
template <bool kEntropy>
void raise_references(std::size_t lanes, float log2_scale, std::size_t head_dim, float* out, RunningRows& rows) {
  const F32 f32;
  for (std::size_t lane = 0; lane < lanes; lane += kLanes) {
    const Vector maximum = hn::Mul(hn::Load(f32, rows.tile_maximum + lane), hn::Set(f32, log2_scale));
    const Vector reference = hn::Load(f32, rows.reference + lane);
    const auto outgrown = hn::Gt(maximum, hn::Add(reference, hn::Set(f32, 8.0f)));
    if (hn::AllFalse(f32, outgrown)) continue;
    const Vector raised = hn::IfThenElse(outgrown, maximum, reference);
    const Vector change = hn::Sub(reference, raised), factor = exp2(change);
    const Vector sum = hn::Load(f32, rows.sum + lane);
    hn::Store(raised, f32, rows.reference + lane);
    hn::Store(hn::Mul(sum, factor), f32, rows.sum + lane);
    if constexpr (kEntropy) {  // every x changes with the reference, and its weight with it
      const Vector moment = hn::MulAdd(sum, change, hn::Load(f32, rows.moment + lane));
      hn::Store(hn::Mul(moment, factor), f32, rows.moment + lane);
    }
    for (std::size_t c = 0; c < head_dim; ++c) {
      float* at = out + c * kTileQueries + lane;
      hn::Store(hn::Mul(hn::Load(f32, at), factor), f32, at);
    }
  }
}

/// Divides by the sums of weights and writes the block's rows; a query that saw no key gets zeros.
inline void write_output(const AttentionBlock& block, std::size_t lanes, float* out, const RunningRows& rows) {
  const F32 f32;
  for (std::size_t lane = 0; lane < lanes; lane += kLanes) {
    const Vector sum = hn::Load(f32, rows.sum + lane);
    const auto saw_a_key = hn::Gt(sum, hn::Zero(f32));
    const Vector inverse = hn::IfThenElseZero(saw_a_key, hn::Div(hn::Set(f32, 1.0f), sum));
    for (std::size_t c = 0; c < block.head_dim; ++c) {
      float* at = out + c * kTileQueries + lane;
      hn::Store(hn::Mul(hn::Load(f32, at), inverse), f32, at);
    }
  }
  transpose_words(reinterpret_cast<const std::byte*>(out), kTileQueries * sizeof(float), block.head_dim, block.queries,
                  block.out, block.out_stride);
}

inline void write_statistics(const AttentionBlock& block, const RunningRows& rows) {
  for (std::size_t i = 0; i < block.queries; ++i) {
    const bool saw_a_key = rows.sum[i] > 0;
    const double log_sum = saw_a_key ? std::log(double{rows.sum[i]}) : 0.0;
    const double mean_x = saw_a_key ? double{rows.moment[i]} / rows.sum[i] : 0.0;
    if (block.log_sum_exp)
      block.log_sum_exp[i] = saw_a_key ? static_cast<float>(rows.reference[i] * std::numbers::ln2 + log_sum) : kNone;
    if (block.entropy)  // -sum a log a with a = 2^x / sum; rounding may take a certain row just below 0
      block.entropy[i] = static_cast<float>(std::max(0.0, log_sum - std::numbers::ln2 * mean_x));
    if (block.maximum) block.maximum[i] = saw_a_key ? rows.maximum[i] * std::abs(block.scale) : kNone;
    if (block.argmax) block.argmax[i] = rows.argmax[i];
  }
}

template <typename Product, bool kEntropy, typename Tiles>
void attend_tiles(const AttentionBlock& block, AttentionScratch scratch, Tiles& tiles, RunningRows& rows) {
  const std::size_t lanes = lanes_of(block);
  const float log2_scale = log2_scale_of(block);
  pack_queries<Product>(block, scratch.query);
  std::fill_n(scratch.out, block.head_dim * kTileQueries, 0.0f);
  for (std::size_t first_key = 0; first_key < block.keys; first_key += kTileKeys) {
    const std::size_t keys = std::min(kTileKeys, block.keys - first_key);
    if (!has_visible_key(block, first_key, keys)) continue;
    scratch.weights = tiles.place(first_key);
    const Tile tile{scratch.weights, first_key, keys, lanes};
    score_tile<Product>(block, first_key, keys, lanes, scratch, rows.tile_maximum);
    if (needs_mask(block, first_key, keys))
      mask_tile(block, first_key, keys, lanes, scratch.weights, rows.tile_maximum);
    if (block.maximum || block.argmax) update_maximum(first_key, keys, lanes, scratch.weights, rows);
    tiles.take_scores(tile);
    raise_references<kEntropy>(lanes, log2_scale, block.head_dim, scratch.out, rows);
    weigh_tile<Product, kEntropy>(scratch.weights, keys, lanes, log2_scale, rows.reference, rows.sum, rows.moment);
    tiles.take_references(tile, rows.reference);
    add_values<Product>(block, first_key, keys, lanes, scratch);
  }
  write_output(block, lanes, scratch.out, rows);
  write_statistics(block, rows);
}

/// Attends a block. `tiles` says where each tile lies, place(first_key), and may take its scores, take_scores(tile),
/// and the references that its weights have, take_references(tile, reference).
template <typename Product, typename Tiles>
void attend(const AttentionBlock& block, const AttentionScratch& scratch, Tiles& tiles, RunningRows& rows) {
  if (block.entropy)
    attend_tiles<Product, true>(block, scratch, tiles, rows);
  else
    attend_tiles<Product, false>(block, scratch, tiles, rows);
}

}  // namespace lexiscope::cpu::HWY_NAMESPACE::attention_tiles
HWY_AFTER_NAMESPACE();

#endif
