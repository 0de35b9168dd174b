// A sparse matrix of affinities on the device: whether it is one, and its entries in t-SNE's own layout.
#pragma once

#include <cstddef>

#include "kernels/cuda/tsne_state.h"

namespace lexiscope::cuda {

/// A matrix [rows, rows] in compressed rows, in device memory.
struct CompressedRows {
  std::size_t rows = 0, entries = 0;
  const std::int64_t* row_offsets = nullptr;  ///< [rows + 1]
  const std::int32_t* columns = nullptr;      ///< [entries]
  const float* values = nullptr;              ///< [entries]
};

/// Sets *faulty to 1 where the matrix is none of affinities (host/engines/tsne_checks.h says what that is); reads
/// nothing outside its arrays even then. Lays the entries out in `edges` unless that is null. Rows are at most 2^30.
/// Enqueues on `stream` and returns.
void tsne_take_affinities(const CompressedRows& matrix, TsneEdge* edges, unsigned* faulty, cudaStream_t stream);

}  // namespace lexiscope::cuda
