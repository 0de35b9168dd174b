// The pass behind a product that a library computed: the same functors as behind our own, on sums that lie in memory.
#pragma once

#include <cstddef>

#include "kernels/cuda/pack.h"
#include "kernels/cuda/row_pieces.cuh"

namespace lexiscope::cuda {

/// Sums [rows, columns] of each weight of a product, one matrix behind the other.
template <unsigned kParts>
struct PartialSums {
  const float* data;
  std::size_t rows, columns, stride;
  bool wide;  // rows begin on 16 bytes

  __device__ Pack<float, 4> at(unsigned part, std::size_t row, std::size_t column) const {
    if (column >= columns) return {};
    const bool whole = wide && column + 4 <= columns;
    return load_pack_part<4>(data + (part * rows + row) * stride + column, whole, columns - column);
  }
};

/// finish(row, column, parts) for each four of `columns` columns; those that are no sums have zeros.
template <unsigned kParts, typename Finish>
__global__ void __launch_bounds__(kRowPieceThreads)
    finish_sums_kernel(PartialSums<kParts> sums, std::size_t columns, Finish finish) {
  for_each_row_pack<4>(sums.rows, columns, [&](std::size_t row, std::size_t column) {
    Pack<float, 4> parts[kParts];
#pragma unroll
    for (unsigned part = 0; part < kParts; ++part) parts[part] = sums.at(part, row, column);
    finish(row, column, parts);
  });
}

template <unsigned kParts, typename Finish>
void finish_sums(const char* name, const MatrixView<const float>& sums, std::size_t columns, const Finish& finish,
                 cudaStream_t stream) {
  const PartialSums<kParts> parts{sums.data, sums.rows, sums.columns, sums.stride,
                                  rows_hold_packs<4>(sums.data, sums.stride)};
  launch(name, finish_sums_kernel<kParts, Finish>, row_piece_shape(sums.rows, columns, 4), stream, parts, columns,
         finish);
}

}  // namespace lexiscope::cuda
