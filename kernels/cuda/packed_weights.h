// The layout in which the cuda engine keeps a weight matrix: row-major [out, in] as it came, in f32 or bf16, with every
// row on a boundary of 16 bytes and filled up to it with zeros.
//
// So a kernel fetches 16 bytes at a time without asking where a row ends: what lies past the last column adds nothing.
#pragma once

#include <cstddef>

#include "lexiscope/tensor.h"

namespace lexiscope::cuda {

inline constexpr std::size_t kPackedAlignment = 16;  // bytes

struct PackedWeights {
  const void* data = nullptr;  ///< device memory [rows, stride], aligned to kPackedAlignment
  DType dtype = DType::f32;    ///< f32 or bf16
  std::size_t rows = 0;        ///< out
  std::size_t columns = 0;     ///< in
  std::size_t stride = 0;      ///< elements from row to row: packed_stride(columns, dtype)
};

/// `columns` rounded up so that a row of them fills whole pieces of 16 bytes.
constexpr std::size_t packed_stride(std::size_t columns, DType dtype) noexcept {
  const std::size_t piece = kPackedAlignment / size_of(dtype);
  return (columns + piece - 1) / piece * piece;
}

}  // namespace lexiscope::cuda
