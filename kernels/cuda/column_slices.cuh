// What kernels over slices of columns share: how threads are spread over them.
#pragma once

#include "kernels/cuda/column_slices.h"
#include "kernels/cuda/launch.h"

namespace lexiscope::cuda {

inline constexpr unsigned kColumnThreads = 128;

/// Blocks of kColumnThreads columns (x) of each slice (y). choose_column_slices keeps those within a grid's 16 bits.
inline LaunchShape column_shape(std::size_t columns, std::size_t slices) {
  const std::size_t blocks = (columns + kColumnThreads - 1) / kColumnThreads;
  return {.blocks = dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(slices)), .threads = kColumnThreads};
}

__device__ inline std::size_t this_column() { return std::size_t{blockIdx.x} * kColumnThreads + threadIdx.x; }

/// The rows of this block's slice: [first, last) of `rows`.
struct SliceRows {
  std::size_t first, last;
};
__device__ inline SliceRows this_slice(std::size_t rows, const ColumnSlices& slices) {
  const std::size_t first = blockIdx.y * slices.rows;
  return {first, first + slices.rows < rows ? first + slices.rows : rows};
}

}  // namespace lexiscope::cuda
