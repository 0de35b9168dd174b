// How the factors of a product in f32 lie where tiles of bf16 multiply (tile_product-inl.h), and what a thread needs.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/cpu/context.h"
#include "kernels/cpu/product_config.h"
#include "kernels/cpu/tile_registers.h"

namespace lexiscope::cpu {

inline constexpr std::size_t kParts = 3;                           ///< bf16 that an f32 is the sum of
inline constexpr std::size_t kTileBlock = kParts * kTileElements;  ///< one step of one tile: its parts
inline constexpr std::size_t kPairBlock = 2 * kTileBlock;          ///< one step of a pair of tiles

constexpr std::size_t steps_of(std::size_t depth) noexcept { return (depth + kTileDepth - 1) / kTileDepth; }
constexpr std::size_t tile_pairs(std::size_t rows) noexcept { return (rows + kTilePair - 1) / kTilePair; }

/// The parts of x [rows, depth], or of weights [columns, depth]: [pair of tiles][step][tile][part][tile's elements].
template <typename Element>
struct TileParts {
  Element* data = nullptr;
  std::size_t steps = 0;

  static constexpr std::size_t size(std::size_t rows, std::size_t depth) noexcept {
    return tile_pairs(rows) * steps_of(depth) * kPairBlock;
  }
  Element* at(std::size_t pair, std::size_t step) const noexcept { return data + (pair * steps + step) * kPairBlock; }
  operator TileParts<const Element>() const noexcept { return {data, steps}; }
};

/// What one thread needs for products on tiles.
struct TileScratch {
  TileParts<std::uint16_t> x{};      ///< of a task's rows, kStepsHeld steps
  std::uint16_t* weights = nullptr;  ///< parts of one block of a pair of columns, of weights whose parts are not kept
  float* sums = nullptr;             ///< [rows, columns] of a task, of whole pairs of tiles
  const float* held = nullptr;       ///< the first number that `x` holds parts of

  TileScratch() = default;
  explicit TileScratch(WorkspaceCutter& cutter)
      : x{cutter.cut<std::uint16_t>(kMostRowsPerTileTask / kTilePair * kStepsHeld * kPairBlock), kStepsHeld},
        weights(cutter.cut<std::uint16_t>(kStepsPerTileBlock * kPairBlock)),
        sums(cutter.cut<float>(kSumsPerTileTask)) {}

  static std::size_t bytes() {
    WorkspaceCutter cutter(nullptr);
    TileScratch scratch(cutter);
    return cutter.used();
  }
};

}  // namespace lexiscope::cpu
