// Rows as products take them: in whole pieces of 16 bytes, in the weights' type.
#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/packed_weights.h"
#include "lexiscope/tensor.h"

namespace lexiscope::cuda {

/// A matrix of f32 or bf16 whose rows are whole pieces of 16 bytes, the last filled up with zeros.
struct PieceMatrix {
  const void* data = nullptr;  ///< device memory, aligned to 16 bytes
  std::size_t rows = 0;
  std::size_t stride = 0;  ///< elements from row to row
};

/// Bytes of workspace that piece_rows() needs for x in this type: 0 where x can stay where it is.
std::size_t piece_rows_workspace(const MatrixView<const float>& x, DType dtype);

/// x itself, where it is in f32 and its rows are whole pieces as they lie; else a copy in `workspace`, which is
/// enqueued on `stream`: rounded to nearest, ties to even, where dtype is bf16.
PieceMatrix piece_rows(const MatrixView<const float>& x, DType dtype, void* workspace, cudaStream_t stream);

}  // namespace lexiscope::cuda
