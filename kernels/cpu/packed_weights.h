// The layout in which the cpu engine keeps a weight matrix: panels of 48 output columns, so that a vector of any width
// reads consecutive outputs at one step of the contraction.
//
//   [block of 384 steps of the contraction][panel][step][48 outputs]
//
// of f32; in bf16 two steps share a word of 32 bits, the earlier in its lower half, and an odd last step a word with 0.
//
// A block of a panel is 72 KiB (36 in bf16): it stays in the second-level cache while the rows of x pass over it. 48
// outputs are a whole number of the kernel's strips of 3 vectors on every SIMD target, so one packed matrix serves them
// all. The last panel is filled up with zeros; the last block is as short as it is.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "lexiscope/tensor.h"

namespace lexiscope::cpu {

inline constexpr std::size_t kPanelColumns = 48;
inline constexpr std::size_t kBlockDepth = 384;

struct PackedWeights {
  const float* data = nullptr;  ///< kAlignment-aligned words
  std::size_t out = 0, in = 0;
  std::size_t steps_in_word = 1;         ///< 2: bf16
  const std::uint16_t* parts = nullptr;  ///< of weights in f32, for tiles (tile_layout.h), where they are kept

  std::size_t panels() const noexcept { return (out + kPanelColumns - 1) / kPanelColumns; }
  std::size_t blocks() const noexcept { return (in + kBlockDepth - 1) / kBlockDepth; }
  std::size_t depth(std::size_t block) const noexcept { return std::min(kBlockDepth, in - block * kBlockDepth); }
  std::size_t words(std::size_t block) const noexcept { return (depth(block) + steps_in_word - 1) / steps_in_word; }
  std::size_t columns(std::size_t panel) const noexcept { return std::min(kPanelColumns, out - panel * kPanelColumns); }
  const float* at(std::size_t block, std::size_t panel) const noexcept { return data + offset(block, panel); }
  std::size_t offset(std::size_t block, std::size_t panel) const noexcept {
    return (block * (kBlockDepth / steps_in_word) * panels() + panel * words(block)) * kPanelColumns;
  }
  /// The words that `data` holds.
  std::size_t size() const noexcept { return (in + steps_in_word - 1) / steps_in_word * panels() * kPanelColumns; }
};

/// The upper half of x, rounded to nearest, ties to even; of a NaN a NaN.
inline std::uint32_t bf16_bits(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  return x != x ? 0x7FC0u : (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
}

/// Two of them in a word, the first in its lower half.
inline float bf16_word(float first, float second) {
  return std::bit_cast<float>(bf16_bits(first) | bf16_bits(second) << 16);
}

/// Writes weight [out, in] into packed [weights.size()], laid out as `layout` says (its data is not read).
void pack_weights(MatrixView<const float> weight, const PackedWeights& layout, float* packed, int threads);

}  // namespace lexiscope::cpu
