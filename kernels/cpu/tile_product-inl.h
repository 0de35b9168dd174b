// Products in f32 on tiles of bf16. An f32 is the sum of three bf16, high + middle + low, with |middle| about 2^-8 |x|
// at most and |low| 2^-16 |x|; of the nine products of two such sums the six largest are taken, and what is left out is
// below 2^-23 |x w|: a rounding or two of f32. Products of bf16 are exact, and sums are f32's, of as few roundings as
// there are tiles. Six products of bf16 take 6/16 of the time of one in f32.
//
//   x        [tile of 16 rows][step of 32][high, middle, low][16 rows][32]
//   weights  [step of 32][tile of 16 columns, of two][high, middle, low][16 pairs of steps][16 columns][2]
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
#include "kernels/cpu/tile_registers.h"
#include "kernels/cpu/tile_scratch.h"
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

/// x [rows, at most kBlockDepth] for multiply_columns; rows are filled up to whole pairs of tiles with zeros.
inline void split_rows(MatrixView<const float> x, std::uint16_t* parts) {
  for (std::size_t tile = 0; tile < whole_tile_pairs(x.rows); tile += kTileSide)
    for (std::size_t k = 0; k < x.columns; k += kTileDepth, parts += kParts * kTileElements)
      for (std::size_t i = 0; i < kTileSide; ++i) {
        std::uint16_t* const to = parts + i * kTileDepth;
        const float* const from = tile + i < x.rows ? x.row(tile + i) + k : nullptr;
        if (from && k + kTileDepth <= x.columns) {
          split_row(from, from + kTileSide, to);
        } else {
          float padded[kTileDepth] = {};
          if (from) std::copy_n(from, x.columns - k, padded);
          split_row(padded, padded + kTileSide, to);
        }
      }
}

/// One block of the weights of two tiles of columns, split bit by bit while another is multiplied with.
class ColumnSplitter {
 public:
  /// Each of `columns` begins with the first step's 16 columns.
  ColumnSplitter(const float* first, const float* second, std::size_t depth, std::uint16_t* parts)
      : columns_{first, second}, depth_(depth), rows_(2 * kTileSide * steps_of(depth)), parts_(parts) {}

  void split(std::size_t rows) {
    constexpr float kZeros[kTileSide] = {};
    for (const std::size_t end = std::min(rows_, row_ + rows); row_ < end; ++row_) {
      const std::size_t pair = row_ % kTileSide, tile = row_ / kTileSide;  // tiles lie step by step, two in each
      const std::size_t first = tile / 2 * kTileDepth + pair, second = first + kTileSide;
      const float* const columns = columns_[tile % 2];
      split_row(first < depth_ ? columns + first * kPanelColumns : kZeros,
                second < depth_ ? columns + second * kPanelColumns : kZeros,
                parts_ + tile * kParts * kTileElements + pair * kTileDepth);
    }
  }
  void finish() { split(rows_); }

 private:
  const float* columns_[2];
  std::size_t depth_, rows_, row_ = 0;
  std::uint16_t* parts_;
};

/// Two tiles of rows times two of columns, over one step.
template <typename Tiles>
HWY_INLINE void multiply_step(const Tiles& tiles, const std::uint16_t* x, std::size_t x_stride,
                              const std::uint16_t* weights, ColumnSplitter& next, std::size_t rows) {
  constexpr std::size_t kRowBytes = kTileDepth * sizeof(std::uint16_t);
  const auto load_x = [&](std::size_t part) {
    tiles.template load<4>(x + part * kTileElements, kRowBytes);
    tiles.template load<5>(x + x_stride + part * kTileElements, kRowBytes);
  };
  const auto load_weights = [&](std::size_t part) {
    tiles.template load<6>(weights + part * kTileElements, kRowBytes);
    tiles.template load<7>(weights + (kParts + part) * kTileElements, kRowBytes);
  };
  const auto multiply = [&] {
    tiles.template multiply_add<0, 4, 6>();
    tiles.template multiply_add<1, 4, 7>();
    tiles.template multiply_add<2, 5, 6>();
    tiles.template multiply_add<3, 5, 7>();
    next.split(rows);
  };
  enum { kHigh, kMiddle, kLow };
  load_weights(kHigh), load_x(kLow), multiply();
  load_x(kMiddle), multiply();
  load_x(kHigh), multiply();
  load_weights(kLow), multiply();
  load_weights(kMiddle), multiply();
  load_x(kMiddle), multiply();
}

/// sums [whole_tile_pairs(rows)][32 columns] (+)= x times two tiles of columns. Tiles multiply for hundreds of cycles a
/// step and leave the vectors idle, which split the columns that come next.
template <typename Tiles>
void multiply_two_columns(const Tiles& tiles, const std::uint16_t* x, std::size_t rows, const std::uint16_t* weights,
                          std::size_t steps, bool accumulate, float* sums, std::size_t sums_stride,
                          ColumnSplitter& next) {
  constexpr std::size_t kStep = kParts * kTileElements;
  const std::size_t stride = sums_stride * sizeof(float), x_stride = steps * kStep;
  const std::size_t row_pairs = whole_tile_pairs(rows) / (2 * kTileSide);
  const std::size_t split_a_step = (2 * kTileSide + 6 * row_pairs - 1) / (6 * row_pairs);
  for (std::size_t pair = 0; pair < row_pairs; ++pair, x += 2 * x_stride, sums += 2 * kTileSide * sums_stride) {
    float* const lower = sums + kTileSide * sums_stride;
    if (accumulate) {
      tiles.template load<0>(sums, stride);
      tiles.template load<1>(sums + kTileSide, stride);
      tiles.template load<2>(lower, stride);
      tiles.template load<3>(lower + kTileSide, stride);
    } else {
      tiles.template zero<0>();
      tiles.template zero<1>();
      tiles.template zero<2>();
      tiles.template zero<3>();
    }
    for (std::size_t step = 0; step < steps; ++step)
      multiply_step(tiles, x + step * kStep, x_stride, weights + 2 * step * kStep, next, split_a_step);
    tiles.template store<0>(sums, stride);
    tiles.template store<1>(sums + kTileSide, stride);
    tiles.template store<2>(lower, stride);
    tiles.template store<3>(lower + kTileSide, stride);
  }
  next.finish();
}

/// sums [whole_tile_pairs(rows)][tile_columns(panels)] (+)= x, as split_rows left it in the scratch, times one block of
/// some panels.
template <typename Tiles>
void multiply_columns(const Tiles& tiles, std::size_t rows, const PackedWeights& weights, std::size_t block,
                      std::size_t first_panel, std::size_t panels, bool accumulate, const TileScratch& scratch,
                      float* sums, std::size_t sums_stride) {
  constexpr std::size_t kTilesInPanel = kPanelColumns / kTileSide;
  const std::size_t depth = weights.depth(block), last = panels * kTilesInPanel - 1;
  const auto columns_of = [&](std::size_t tile) {  // past the end the last again
    const std::size_t own = std::min(tile, last);
    return weights.at(block, first_panel + own / kTilesInPanel) + own % kTilesInPanel * kTileSide;
  };
  const auto splitter_of = [&](std::size_t tile) {
    return ColumnSplitter(columns_of(tile), columns_of(tile + 1), tile <= last ? depth : 0,
                          scratch.weights[tile / 2 % 2]);
  };
  splitter_of(0).finish();
  for (std::size_t tile = 0; tile <= last; tile += 2) {
    ColumnSplitter next = splitter_of(tile + 2);
    multiply_two_columns(tiles, scratch.x, rows, scratch.weights[tile / 2 % 2], steps_of(depth), accumulate,
                         sums + tile * kTileSide, sums_stride, next);
  }
}

}  // namespace lexiscope::cpu::HWY_NAMESPACE::tile_product
HWY_AFTER_NAMESPACE();

#endif
