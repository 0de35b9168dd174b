// What one thread needs for products on tiles: parts of x and of weights, and sums.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/context.h"
#include "kernels/cpu/packed_weights.h"
#include "kernels/cpu/product_config.h"
#include "kernels/cpu/tile_registers.h"

namespace lexiscope::cpu {

inline constexpr std::size_t kParts = 3;               ///< bf16 that an f32 is the sum of
inline constexpr std::size_t kPanelsPerTileBlock = 8;  ///< panels that x is split for

constexpr std::size_t steps_of(std::size_t depth) noexcept { return (depth + kTileDepth - 1) / kTileDepth; }
constexpr std::size_t whole_tile_pairs(std::size_t rows_or_columns) noexcept {
  return (rows_or_columns + 2 * kTileSide - 1) / (2 * kTileSide) * (2 * kTileSide);
}
constexpr std::size_t tile_columns(std::size_t panels) noexcept { return whole_tile_pairs(panels * kPanelColumns); }

struct TileScratch {
  static constexpr std::size_t kSumsStride = tile_columns(kPanelsPerTileBlock);
  static constexpr std::size_t kColumnParts = 2 * kTileSide * kBlockDepth * kParts;

  std::uint16_t* x;
  std::uint16_t* weights[2];  ///< one is multiplied with while the other is made
  float* sums;                ///< [kRowsPerTileBlock, kSumsStride]

  explicit TileScratch(WorkspaceCutter& cutter)
      : x(cutter.cut<std::uint16_t>(kRowsPerTileBlock * kBlockDepth * kParts)),
        weights{cutter.cut<std::uint16_t>(kColumnParts), cutter.cut<std::uint16_t>(kColumnParts)},
        sums(cutter.cut<float>(kRowsPerTileBlock * kSumsStride)) {}

  static std::size_t bytes() {
    WorkspaceCutter cutter(nullptr);
    TileScratch scratch(cutter);
    return cutter.used();
  }
};

}  // namespace lexiscope::cpu
