// The tile registers of AMX as its manual describes them, for processors that have none.
#pragma once

#include <bit>
#include <cmath>
#include <cstring>

#include "kernels/cpu/tile_registers.h"

namespace lexiscope::testing {

class SoftwareTiles {
 public:
  template <int kTile>
  void zero() const {
    std::memset(tiles_[kTile], 0, sizeof tiles_[kTile]);
  }
  template <int kTile>
  void load(const void* from, std::size_t stride) const {
    for (std::size_t row = 0; row < cpu::kTileSide; ++row)
      std::memcpy(tiles_[kTile][row], static_cast<const std::byte*>(from) + row * stride, kRowBytes);
  }
  template <int kTile>
  void store(void* to, std::size_t stride) const {
    for (std::size_t row = 0; row < cpu::kTileSide; ++row)
      std::memcpy(static_cast<std::byte*>(to) + row * stride, tiles_[kTile][row], kRowBytes);
  }
  template <int kSums, int kA, int kB>
  void multiply_add() const {
    for (std::size_t i = 0; i < cpu::kTileSide; ++i)
      for (std::size_t j = 0; j < cpu::kTileSide; ++j) {
        float first = 0, second = 0;
        for (std::size_t k = 0; k < cpu::kTileSide; ++k) {
          first = std::fma(low(tiles_[kA][i][k]), low(tiles_[kB][k][j]), first);
          second = std::fma(high(tiles_[kA][i][k]), high(tiles_[kB][k][j]), second);
        }
        std::uint32_t& sum = tiles_[kSums][i][j];
        sum = std::bit_cast<std::uint32_t>(std::bit_cast<float>(sum) + (first + second));
      }
  }

 private:
  static constexpr std::size_t kRowBytes = 64;
  static float low(std::uint32_t pair) { return std::bit_cast<float>(pair << 16); }
  static float high(std::uint32_t pair) { return std::bit_cast<float>(pair & 0xFFFF0000u); }

  mutable std::uint32_t tiles_[8][cpu::kTileSide][cpu::kTileSide];  // registers: nobody owns their state
};

}  // namespace lexiscope::testing
