// Kernels that treat elements one by one: a warp passes over a piece of a row, so that neighbouring lanes have
// neighbouring packs, and neither a long row nor a great many short ones leave threads without work.
#pragma once

#include <algorithm>
#include <cstddef>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/warp.h"

namespace lexiscope::cuda {

inline constexpr unsigned kRowPieceThreads = 256;
inline constexpr unsigned kPacksPerLane = 8;  // of a row: so many that finding the first costs little

/// Blocks for rows of `columns` elements in packs of `width`: x counts pieces of a row, y groups of rows.
inline LaunchShape row_piece_shape(std::size_t rows, std::size_t columns, unsigned width) {
  constexpr std::size_t kRowsPerBlock = kRowPieceThreads / kWarpSize, kMostGroups = 65'535;
  const std::size_t piece = std::size_t{width} * kWarpSize * kPacksPerLane;
  const std::size_t groups = std::min((rows + kRowsPerBlock - 1) / kRowsPerBlock, kMostGroups);
  return {.blocks = dim3(static_cast<unsigned>((columns + piece - 1) / piece), static_cast<unsigned>(groups)),
          .threads = kRowPieceThreads};
}

/// Calls visit(row, column) for each pack of kWidth columns that is this thread's.
template <unsigned kWidth, typename Visit>
__device__ void for_each_row_pack(std::size_t rows, std::size_t columns, const Visit& visit) {
  constexpr unsigned kRowsPerBlock = kRowPieceThreads / kWarpSize;
  const std::size_t first_column =
      (std::size_t{blockIdx.x} * kWarpSize * kPacksPerLane + threadIdx.x % kWarpSize) * kWidth;
  std::size_t row = std::size_t{blockIdx.y} * kRowsPerBlock + threadIdx.x / kWarpSize;
  for (; row < rows; row += std::size_t{gridDim.y} * kRowsPerBlock)
#pragma unroll
    for (unsigned p = 0; p < kPacksPerLane; ++p) {
      const std::size_t column = first_column + p * kWarpSize * kWidth;
      if (column < columns) visit(row, column);
    }
}

}  // namespace lexiscope::cuda
