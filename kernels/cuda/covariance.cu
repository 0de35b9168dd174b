// The covariance around its product, which is a library's: the mean row before it, and the symmetric mean of products
// after it. Two passes, mean first: the one-pass formula cancels.
#include "kernels/cuda/column_slices.cuh"
#include "kernels/cuda/covariance.h"
#include "kernels/cuda/row_pieces.cuh"

namespace lexiscope::cuda {
namespace {

__global__ void __launch_bounds__(kColumnThreads)
    add_to_mean_kernel(MatrixView<const float> rows, ColumnSlices slices, double* partial) {
  const std::size_t column = this_column();
  if (column >= rows.columns) return;
  const SliceRows slice = this_slice(rows.rows, slices);
  double sum = 0;
#pragma unroll 4
  for (std::size_t row = slice.first; row < slice.last; ++row) sum += rows.row(row)[column];
  partial[blockIdx.y * rows.columns + column] = sum;
}

__global__ void __launch_bounds__(kColumnThreads)
    finish_mean_kernel(const double* sums, double count, VectorView<double> mean) {
  const std::size_t column = this_column();
  if (column < mean.size) mean[column] = sums[column] / count;
}

// Each pair of mirrored elements is one thread's.
__global__ void __launch_bounds__(kRowPieceThreads)
    finish_covariance_kernel(MatrixView<double> covariance, double share) {
  for_each_row_pack<1>(covariance.rows, covariance.columns, [&](std::size_t row, std::size_t column) {
    if (column < row) return;
    const double value = covariance.row(row)[column] * share;
    covariance.row(row)[column] = value;
    covariance.row(column)[row] = value;
  });
}

}  // namespace

void add_to_mean(MatrixView<const float> rows, const ColumnSlices& slices, double* sums, double* workspace,
                 cudaStream_t stream) {
  launch("add_to_mean", add_to_mean_kernel, column_shape(rows.columns, slices.count), stream, rows, slices, workspace);
  add_slices(workspace, slices.count, rows.columns, sums, stream);
}

void finish_mean(const double* sums, std::size_t count, VectorView<double> mean, cudaStream_t stream) {
  launch("finish_mean", finish_mean_kernel, column_shape(mean.size, 1), stream, sums, static_cast<double>(count), mean);
}

void finish_covariance(MatrixView<double> covariance, std::size_t count, cudaStream_t stream) {
  launch("finish_covariance", finish_covariance_kernel, row_piece_shape(covariance.rows, covariance.columns, 1), stream,
         covariance, 1 / static_cast<double>(count));
}

}  // namespace lexiscope::cuda
