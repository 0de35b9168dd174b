#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/column_slices.h"
#include "lexiscope/ops/covariance.h"

namespace lexiscope::cuda {

/// All of these enqueue on `stream` and return; everything points to device memory.

/// In doubles, for chunks of at most that many rows.
inline std::size_t add_to_mean_workspace(std::size_t rows, std::size_t columns) {
  return choose_column_slices(rows).count * columns;
}

/// sums[a] += the sum of column a of a chunk's rows, in double.
void add_to_mean(MatrixView<const float> rows, const ColumnSlices& slices, double* sums, double* workspace,
                 cudaStream_t stream);

/// mean = sums / count; both may be the same memory.
void finish_mean(const double* sums, std::size_t count, VectorView<double> mean, cudaStream_t stream);

/// From the sum of the rows' outer products, of which the upper triangle is given: divides by `count` and fills both
/// triangles.
void finish_covariance(MatrixView<double> covariance, std::size_t count, cudaStream_t stream);

}  // namespace lexiscope::cuda
