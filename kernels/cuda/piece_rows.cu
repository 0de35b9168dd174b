// Copies rows of f32 into rows of whole 16-byte pieces, rounding to bf16 where weights are in bf16.
#include "kernels/cuda/bf16.h"
#include "kernels/cuda/pack.h"
#include "kernels/cuda/piece_rows.h"
#include "kernels/cuda/product_tile.cuh"
#include "kernels/cuda/row_pieces.cuh"

namespace lexiscope::cuda {
namespace {

constexpr unsigned kWidth = 4;

// bf16 as its bits. kWide: rows of x hold packs, and end with one; so do those of the copy, up to its padding.
template <bool kWide, typename To>
__global__ void __launch_bounds__(kRowPieceThreads) piece_rows_kernel(MatrixView<const float> x, MatrixView<To> copy) {
  for_each_row_pack<kWidth>(x.rows, copy.columns, [&](std::size_t row, std::size_t column) {
    Pack<float, kWidth> source{};
    if (column < x.columns) source = load_pack_part<kWidth>(x.row(row) + column, kWide, x.columns - column);
    Pack<To, kWidth> result;
    for (unsigned k = 0; k < kWidth; ++k)
      if constexpr (std::is_same_v<To, float>)
        result.values[k] = source.values[k];
      else
        result.values[k] = bf16_bits(source.values[k]);
    store_pack(copy.row(row) + column, result);
  });
}

template <typename To>
void copy_rows(const MatrixView<const float>& x, const MatrixView<To>& copy, cudaStream_t stream) {
  const bool wide = x.columns % kWidth == 0 && rows_hold_packs<kWidth>(x.data, x.stride);
  launch("piece_rows", wide ? piece_rows_kernel<true, To> : piece_rows_kernel<false, To>,
         row_piece_shape(x.rows, copy.columns, kWidth), stream, x, copy);
}

}  // namespace

std::size_t piece_rows_workspace(const MatrixView<const float>& x, DType dtype) {
  const bool in_place = dtype == DType::f32 && x.columns % kWidth == 0 && rows_hold_packs<kWidth>(x.data, x.stride) &&
                        x.stride < kMostStride;
  return in_place ? 0 : x.rows * packed_stride(x.columns, dtype) * size_of(dtype);
}

PieceMatrix piece_rows(const MatrixView<const float>& x, DType dtype, void* workspace, cudaStream_t stream) {
  if (piece_rows_workspace(x, dtype) == 0) return {x.data, x.rows, x.stride};
  const std::size_t stride = packed_stride(x.columns, dtype);
  if (dtype == DType::f32)
    copy_rows(x, MatrixView<float>{static_cast<float*>(workspace), x.rows, stride, stride}, stream);
  else
    copy_rows(x, MatrixView<std::uint16_t>{static_cast<std::uint16_t*>(workspace), x.rows, stride, stride}, stream);
  return {workspace, x.rows, stride};
}

}  // namespace lexiscope::cuda
