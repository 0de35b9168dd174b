// Sums over the rows of a chunk, column by column: rows are cut into slices that are summed apart, and their sums are
// added in the order of the slices.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>

namespace lexiscope::cuda {

struct ColumnSlices {
  std::size_t rows;   ///< of a slice, the last of which may have fewer
  std::size_t count;  ///< none is empty
};

/// Slices depend on the rows alone, so the bits of a sum do too. A thread has a column of a slice: of few rows, so that
/// many work at once, but not so few that adding the slices up takes as long.
inline ColumnSlices choose_column_slices(std::size_t rows) {
  constexpr std::size_t kLeastRows = 32, kMostSlices = 64;
  const std::size_t of_slice = std::max((rows + kMostSlices - 1) / kMostSlices, kLeastRows);
  return {.rows = of_slice, .count = (rows + of_slice - 1) / of_slice};
}

/// sums[c] += the sum over the slices of partial[slice][c], in their order. `partial` is [slices, columns], dense.
/// Enqueues on `stream` and returns; everything points to device memory.
void add_slices(const double* partial, std::size_t slices, std::size_t columns, double* sums, cudaStream_t stream);

}  // namespace lexiscope::cuda
