// Products in f32 on tiles of bf16. An f32 is the sum of three bf16, high + middle + low, with |middle| about 2^-8 |x|
// at most and |low| 2^-16 |x|; of the nine products of two such sums the six largest are taken, and what is left out is
// below 2^-23 |x w|: a rounding or two of f32. Products of bf16 are exact, and sums are f32's, of as few roundings as
// there are tiles. Six products of bf16 take 6/16 of the time of one in f32.
//
//   x        [pair of tiles of 16 rows][step of 32][tile][high, middle, low][16 rows][32]
//   weights  [pair of tiles of 16 columns][step of 32][tile][high, middle, low][16 pairs of steps][16 columns][2]
//
// A step's pairs are (k, k + 16), on both sides, so that two vectors of f32 become one of pairs without a shuffle.
#if defined(LEXISCOPE_KERNELS_CPU_TILE_PRODUCT_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef LEXISCOPE_KERNELS_CPU_TILE_PRODUCT_INL_H
#undef LEXISCOPE_KERNELS_CPU_TILE_PRODUCT_INL_H
#else
#define LEXISCOPE_KERNELS_CPU_TILE_PRODUCT_INL_H
#endif

#include <hwy/highway.h>

#include <algorithm>

#include "kernels/cpu/packed_weights.h"
#include "kernels/cpu/tile_layout.h"
#include "lexiscope/tensor.h"

HWY_BEFORE_NAMESPACE();
namespace lexiscope::cpu::HWY_NAMESPACE::tile_product {
namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using U32 = hn::RebindToUnsigned<F32>;
using Vector = hn::Vec<F32>;

/// The nearest number of 8 significant bits.
HWY_INLINE Vector round_to_bf16(Vector x) {
  return hn::NegMulAdd(x, hn::Set(F32(), 0x1p16f), hn::Mul(x, hn::Set(F32(), 0x1p16f + 1)));
}

/// Pairs of bf16, the first of each in its lower half; the numbers' lower halves are 0.
HWY_INLINE hn::Vec<U32> pairs(Vector first, Vector second) {
  return hn::Or(hn::ShiftRight<16>(hn::BitCast(U32(), first)), hn::BitCast(U32(), second));
}

/// The pairs of 16 first and 16 second numbers, as one row of each of three tiles.
HWY_INLINE void split_row(const float* HWY_RESTRICT first, const float* HWY_RESTRICT second,
                          std::uint16_t* HWY_RESTRICT row) {
  for (std::size_t i = 0; i < kTileSide; i += hn::Lanes(F32())) {
    Vector x = hn::LoadU(F32(), first + i), y = hn::LoadU(F32(), second + i);
    auto* to = reinterpret_cast<std::uint32_t*>(row) + i;
    for (std::size_t part = 0; part < kParts; ++part, to += kTileElements / 2) {
      const bool last = part + 1 == kParts;  // what is left is a bf16
      const Vector x_part = last ? x : round_to_bf16(x), y_part = last ? y : round_to_bf16(y);
      hn::Store(pairs(x_part, y_part), U32(), to);
      x = hn::Sub(x, x_part);
      y = hn::Sub(y, y_part);
    }
  }
}

/// Rows are filled up to whole pairs of tiles, and columns to whole steps, with zeros.
inline void split_rows(MatrixView<const float> x, const TileParts<std::uint16_t>& parts) {
  for (std::size_t i = 0; i < tile_pairs(x.rows) * kTilePair; ++i)
    for (std::size_t k = 0; k < x.columns; k += kTileDepth) {
      std::uint16_t* const to =
          parts.at(i / kTilePair, k / kTileDepth) + i / kTileSide % 2 * kTileBlock + i % kTileSide * kTileDepth;
      const float* const from = i < x.rows ? x.row(i) + k : nullptr;
      if (from && k + kTileDepth <= x.columns) {
        split_row(from, from + kTileSide, to);
      } else {
        float padded[kTileDepth] = {};
        if (from) std::copy_n(from, x.columns - k, padded);
        split_row(padded, padded + kTileSide, to);
      }
    }
}

/// The block of a pair of columns that begins at a step: [at most kStepsPerTileBlock][kPairBlock].
inline void split_columns(const PackedWeights& weights, std::size_t pair, std::size_t first_step,
                          std::uint16_t* parts) {
  static_assert(kBlockDepth == kStepsPerTileBlock * kTileDepth, "a block of tiles is one of the packed weights");
  constexpr float kZeros[kTileSide] = {};
  constexpr std::size_t kTilesInPanel = kPanelColumns / kTileSide;
  const std::size_t block = first_step / kStepsPerTileBlock, depth = weights.depth(block);
  for (std::size_t tile = 2 * pair; tile < 2 * pair + 2; ++tile) {
    const bool exists = tile < weights.panels() * kTilesInPanel;
    const float* const columns =
        exists ? weights.at(block, tile / kTilesInPanel) + tile % kTilesInPanel * kTileSide : nullptr;
    std::uint16_t* to = parts + tile % 2 * kTileBlock;
    for (std::size_t k = 0; k < depth; k += kTileDepth, to += kPairBlock)
      for (std::size_t i = k; i < k + kTileSide; ++i)
        split_row(exists && i < depth ? columns + i * kPanelColumns : kZeros,
                  exists && i + kTileSide < depth ? columns + (i + kTileSide) * kPanelColumns : kZeros,
                  to + (i - k) * kTileDepth);
  }
}

/// Memory to bring into the second-level cache bit by bit, while tiles multiply.
class Prefetch {
 public:
  Prefetch(const std::uint16_t* from, std::size_t elements) : at_(from), end_(from + elements) {}

  void fetch(std::size_t lines) {
    for (; lines > 0 && at_ < end_; --lines, at_ += kAlignment / sizeof *at_) __builtin_prefetch(at_, 0, 2);
  }

 private:
  const std::uint16_t *at_, *end_;
};

/// Two tiles of rows times two of columns, over one step.
template <typename Tiles>
HWY_INLINE void multiply_step(const Tiles& tiles, const std::uint16_t* x, const std::uint16_t* weights, Prefetch& next,
                              std::size_t lines) {
  constexpr std::size_t kRowBytes = kTileDepth * sizeof(std::uint16_t);
  const auto load_x = [&](std::size_t part) {
    tiles.template load<4>(x + part * kTileElements, kRowBytes);
    tiles.template load<5>(x + kTileBlock + part * kTileElements, kRowBytes);
  };
  const auto load_weights = [&](std::size_t part) {
    tiles.template load<6>(weights + part * kTileElements, kRowBytes);
    tiles.template load<7>(weights + kTileBlock + part * kTileElements, kRowBytes);
  };
  const auto multiply = [&] {
    tiles.template multiply_add<0, 4, 6>();
    tiles.template multiply_add<1, 4, 7>();
    tiles.template multiply_add<2, 5, 6>();
    tiles.template multiply_add<3, 5, 7>();
    next.fetch(lines);
  };
  enum { kHigh, kMiddle, kLow };
  load_weights(kHigh), load_x(kLow), multiply();
  load_x(kMiddle), multiply();
  load_x(kHigh), multiply();
  load_weights(kLow), multiply();
  load_weights(kMiddle), multiply();
  load_x(kMiddle), multiply();
}

/// sums [kTilePair * pairs, stride] (+)= pairs of rows of x, from steps that `x` and `weights` begin at, times a pair
/// of columns.
template <typename Tiles>
HWY_INLINE void multiply_block(const Tiles& tiles, const std::uint16_t* x, std::size_t x_stride, std::size_t pairs,
                               const std::uint16_t* weights, std::size_t steps, bool accumulate, float* sums,
                               std::size_t stride, Prefetch next) {
  const std::size_t bytes = stride * sizeof(float);
  const std::size_t multiplications = 6 * steps * pairs;
  const std::size_t lines =
      (steps * kPairBlock * sizeof(std::uint16_t) / kAlignment + multiplications - 1) / multiplications;
  for (std::size_t pair = 0; pair < pairs; ++pair, x += x_stride, sums += kTilePair * stride) {
    float* const lower = sums + kTileSide * stride;
    if (accumulate) {
      tiles.template load<0>(sums, bytes);
      tiles.template load<1>(sums + kTileSide, bytes);
      tiles.template load<2>(lower, bytes);
      tiles.template load<3>(lower + kTileSide, bytes);
    } else {
      tiles.template zero<0>();
      tiles.template zero<1>();
      tiles.template zero<2>();
      tiles.template zero<3>();
    }
    for (std::size_t step = 0; step < steps; ++step)
      multiply_step(tiles, x + step * kPairBlock, weights + step * kPairBlock, next, lines);
    tiles.template store<0>(sums, bytes);
    tiles.template store<1>(sums + kTileSide, bytes);
    tiles.template store<2>(lower, bytes);
    tiles.template store<3>(lower + kTileSide, bytes);
  }
}

/// x, the rows of a task, times its columns: scratch.sums [x.rows, kTilePair * task.panels()], up to whole pairs of
/// rows.
template <typename Tiles>
void multiply_task(const Tiles& tiles, MatrixView<const float> x, const PackedWeights& weights, const Task& task,
                   TileScratch& scratch) {
  const std::size_t all_steps = steps_of(x.columns), stride = kTilePair * task.panels();
  const TileParts<const std::uint16_t> kept{weights.parts, all_steps};
  for (std::size_t first = 0; first < all_steps; first += kStepsHeld) {
    const std::size_t last = std::min(all_steps, first + kStepsHeld);
    const float* const from = x.data + first * kTileDepth;
    if (scratch.held != from)
      split_rows({from, x.rows, std::min(kStepsHeld * kTileDepth, x.columns - first * kTileDepth), x.stride},
                 scratch.x);
    scratch.held = from;
    for (std::size_t panel = task.first_panel; panel < task.last_panel; ++panel)
      for (std::size_t step = first; step < last; step += kStepsPerTileBlock) {
        const std::size_t steps = std::min(kStepsPerTileBlock, last - step);
        const std::uint16_t* parts = scratch.weights;
        Prefetch next(nullptr, 0);
        if (kept.data) {
          parts = kept.at(panel, step);
          const bool goes_on = step + steps < last;
          if (goes_on || panel + 1 < tile_pairs(weights.out))
            next = {goes_on ? parts + steps * kPairBlock : kept.at(panel + 1, first), steps * kPairBlock};
        } else {
          split_columns(weights, panel, step, scratch.weights);
        }
        multiply_block(tiles, scratch.x.at(0, step - first), kStepsHeld * kPairBlock, tile_pairs(x.rows), parts, steps,
                       step > 0, scratch.sums + (panel - task.first_panel) * kTilePair, stride, next);
      }
  }
}

}  // namespace lexiscope::cpu::HWY_NAMESPACE::tile_product
HWY_AFTER_NAMESPACE();

#endif
