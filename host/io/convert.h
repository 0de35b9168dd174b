// Matrices of any stored type and order as rows of f32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "lexiscope/tensor.h"

namespace lexiscope {

float f16_to_f32(std::uint16_t bits) noexcept;
float bf16_to_f32(std::uint16_t bits) noexcept;

/// A matrix as a file holds it.
struct StoredMatrix {
  std::span<const std::byte> data;  ///< not necessarily aligned
  DType dtype = DType::f32;
  std::size_t rows = 0, columns = 0;
  bool fortran_order = false;
  std::string name;  ///< for messages: "matrix.npy", "model.safetensors: wte.weight"
};

/// Whether rows can be used where they lie: aligned f32 in C order.
bool is_dense_f32(const StoredMatrix& stored) noexcept;

/// The first `rows` rows as f32, rounded to nearest. Throws Error{kInvalidFile} naming matrix, row, column and value
/// where a finite f64 is beyond f32's range or an integer beyond 2^24, up to which f32 holds all; Error{kOutOfMemory}.
Tensor convert_to_f32(const StoredMatrix& stored, std::size_t rows);

/// The same for rows [first, first + out.rows), into memory of the caller's.
void convert_to_f32(const StoredMatrix& stored, std::size_t first, MatrixView<float> out);

}  // namespace lexiscope
