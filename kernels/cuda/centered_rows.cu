// Rows of f32 as deviations from a mean in double: written once and read by a library's product, at the speed of
// memory.
#include "kernels/cuda/centered_rows.h"
#include "kernels/cuda/row_pieces.cuh"

namespace lexiscope::cuda {
namespace {

__global__ void __launch_bounds__(kRowPieceThreads)
    centered_rows_kernel(MatrixView<const float> rows, VectorView<const double> mean, double* to) {
  for_each_row_pack<1>(rows.rows, rows.columns, [&](std::size_t row, std::size_t column) {
    const double center = mean.empty() ? 0 : mean[column];
    to[row * rows.columns + column] = rows.row(row)[column] - center;
  });
}

}  // namespace

void centered_rows(MatrixView<const float> rows, VectorView<const double> mean, double* to, cudaStream_t stream) {
  if (rows.columns == 0) return;
  launch("centered_rows", centered_rows_kernel, row_piece_shape(rows.rows, rows.columns, 1), stream, rows, mean, to);
}

}  // namespace lexiscope::cuda
