// The sizes that every SIMD target's double_product-inl.h agrees on, so that workspaces do not depend on the target.
#pragma once

#include <cstddef>

namespace lexiscope::cpu {

inline constexpr std::size_t kSliverMultiple = 24;  ///< a multiple of both sides of every target's register tile

/// Whether a product of that many rows, columns and depth repays waking the threads.
constexpr bool worth_threads(std::size_t rows, std::size_t columns, std::size_t depth) noexcept {
  return static_cast<double>(rows) * static_cast<double>(columns) * static_cast<double>(depth) > 1e6;
}

constexpr std::size_t round_up(std::size_t value, std::size_t multiple) noexcept {
  return (value + multiple - 1) / multiple * multiple;
}

}  // namespace lexiscope::cpu
