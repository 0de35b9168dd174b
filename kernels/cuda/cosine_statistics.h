#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/column_slices.h"
#include "lexiscope/ops/cosine_statistics.h"

namespace lexiscope::cuda {

/// What the rows so far add up to, in doubles and all zero at first: [d] of the rows, [d] of the rows at unit length
/// (those that are not zero), of their norms, and how many are not zero.
struct RowSums {
  double* data;
  std::size_t d;

  static std::size_t size(std::size_t d) { return 2 * d + 2; }
};

/// log Z of many directions, Z = exp(largest) * sum: along each of them, and against it. Four arrays of m, one behind
/// the other: largest and sum along, largest and sum against.
struct Partitions {
  double* data;
  std::size_t m;

  static std::size_t size(std::size_t m) { return 4 * m; }
};

/// In doubles, for chunks of at most that many rows.
inline std::size_t add_to_row_sums_workspace(std::size_t rows, std::size_t d) {
  return 2 * rows + choose_column_slices(rows).count * RowSums::size(d);
}
inline std::size_t add_to_partitions_workspace(std::size_t rows, std::size_t m) {
  return choose_column_slices(rows).count * Partitions::size(m);
}

/// Both enqueue on `stream` and return; everything points to device memory.

/// Adds a chunk's rows. `norms` [rows.rows] are theirs, or empty.
void add_to_row_sums(MatrixView<const float> rows, const ColumnSlices& slices, VectorView<float> norms,
                     const RowSums& sums, double* workspace, cudaStream_t stream);

/// Adds a chunk's products with the directions, [rows, m] and dense. Where it is the first, what the partitions hold
/// does not count.
void add_to_partitions(const double* products, std::size_t rows, const ColumnSlices& slices, bool first,
                       const Partitions& partitions, double* workspace, cudaStream_t stream);

}  // namespace lexiscope::cuda
