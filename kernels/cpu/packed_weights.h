// The layout in which the cpu engine keeps a weight matrix: panels of 48 output columns, so that a vector of any width
// reads consecutive outputs at one step of the contraction.
//
//   [block of 384 steps of the contraction][panel][step][48 outputs]
//
// A block of a panel is 72 KiB: it stays in the second-level cache while the rows of x pass over it. 48 outputs are a
// whole number of the kernel's strips of 3 vectors on every SIMD target, so one packed matrix serves them all. The last
// panel is filled up with zeros; the last block is as short as it is.
#pragma once

#include <algorithm>
#include <cstddef>

#include "lexiscope/tensor.h"

namespace lexiscope::cpu {

inline constexpr std::size_t kPanelColumns = 48;
inline constexpr std::size_t kBlockDepth = 384;

struct PackedWeights {
  const float* data = nullptr;  ///< kAlignment-aligned
  std::size_t out = 0, in = 0;

  std::size_t panels() const noexcept { return (out + kPanelColumns - 1) / kPanelColumns; }
  std::size_t blocks() const noexcept { return (in + kBlockDepth - 1) / kBlockDepth; }
  std::size_t depth(std::size_t block) const noexcept { return std::min(kBlockDepth, in - block * kBlockDepth); }
  std::size_t columns(std::size_t panel) const noexcept { return std::min(kPanelColumns, out - panel * kPanelColumns); }
  const float* at(std::size_t block, std::size_t panel) const noexcept { return data + offset(block, panel); }
  std::size_t offset(std::size_t block, std::size_t panel) const noexcept {
    return (block * kBlockDepth * panels() + panel * depth(block)) * kPanelColumns;
  }
  /// The floats that `data` holds.
  std::size_t size() const noexcept { return in * panels() * kPanelColumns; }
};

/// Writes weight [out, in] into packed [weights.size()], laid out as `layout` says (its data is not read).
void pack_weights(MatrixView<const float> weight, const PackedWeights& layout, float* packed, int threads);

}  // namespace lexiscope::cpu
