// The projection's last step: scores come from a library's product in double and are rounded once.
#include "kernels/cuda/projection.h"
#include "kernels/cuda/row_pieces.cuh"

namespace lexiscope::cuda {
namespace {

__global__ void __launch_bounds__(kRowPieceThreads) round_scores_kernel(const double* scores, MatrixView<float> to) {
  for_each_row_pack<1>(to.rows, to.columns, [&](std::size_t row, std::size_t column) {
    to.row(row)[column] = static_cast<float>(scores[row * to.columns + column]);
  });
}

}  // namespace

void round_scores(const double* scores, MatrixView<float> to, cudaStream_t stream) {
  launch("round_scores", round_scores_kernel, row_piece_shape(to.rows, to.columns, 1), stream, scores, to);
}

}  // namespace lexiscope::cuda
