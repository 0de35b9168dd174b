// Conversion to f32, one element at a time through memcpy: files align nothing.
#include "host/io/convert.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <cstring>

#include "host/core/host_memory.h"
#include "host/core/require.h"

namespace lexiscope {
namespace {

constexpr std::size_t kRowBlock = 64;  // rows converted together: a column's part of them is a few cache lines

struct Half {
  std::uint16_t bits;
};
struct Bfloat16 {
  std::uint16_t bits;
};

// Each widens or narrows one value; false where f32 cannot hold it.
bool to_f32(float value, float& out) {
  out = value;
  return true;
}
bool to_f32(Half value, float& out) {
  out = f16_to_f32(value.bits);
  return true;
}
bool to_f32(Bfloat16 value, float& out) {
  out = bf16_to_f32(value.bits);
  return true;
}
bool to_f32(double value, float& out) {
  out = static_cast<float>(value);
  return std::isfinite(out) || !std::isfinite(value);
}
template <std::integral Integer>
bool to_f32(Integer value, float& out) {
  constexpr std::int64_t kExact = std::int64_t{1} << 24;
  out = static_cast<float>(value);
  return -kExact <= value && value <= kExact;
}

template <typename Element>
void convert(const StoredMatrix& stored, std::size_t first_row, MatrixView<float> out) {
  const std::size_t row_step = stored.fortran_order ? 1 : stored.columns;
  const std::size_t column_step = stored.fortran_order ? stored.rows : 1;
  const auto convert_one = [&](std::size_t row, std::size_t column) {
    Element value;
    std::memcpy(&value, stored.data.data() + ((first_row + row) * row_step + column * column_step) * sizeof value,
                sizeof value);
    if (to_f32(value, out.row(row)[column])) return;
    if constexpr (std::is_arithmetic_v<Element>)
      fail(ErrorCode::kInvalidFile, "{} has {} in row {}, column {}, which f32 cannot hold", stored.name, value,
           first_row + row, column);
  };
  for (std::size_t first = 0; first < out.rows; first += kRowBlock) {
    const std::size_t last = std::min(out.rows, first + kRowBlock);
    if (stored.fortran_order) {
      for (std::size_t column = 0; column < out.columns; ++column)
        for (std::size_t row = first; row < last; ++row) convert_one(row, column);
    } else {
      for (std::size_t row = first; row < last; ++row)
        for (std::size_t column = 0; column < out.columns; ++column) convert_one(row, column);
    }
  }
}

}  // namespace

bool is_dense_f32(const StoredMatrix& stored) noexcept {
  return stored.dtype == DType::f32 && !stored.fortran_order &&
         reinterpret_cast<std::uintptr_t>(stored.data.data()) % alignof(float) == 0;
}

// Exponent and fraction moved into place make the value times 2^-112, subnormals included; infinity and NaN get the
// exponent that f32 has for them.
float f16_to_f32(std::uint16_t bits) noexcept {
  const std::uint32_t magnitude = bits & 0x7fffu;
  float result = std::bit_cast<float>(magnitude << 13) * 0x1p112f;
  if (magnitude >= 0x7c00u) result = std::bit_cast<float>((magnitude << 13) | 0x7f800000u);
  return (bits & 0x8000u) ? -result : result;
}

float bf16_to_f32(std::uint16_t bits) noexcept { return std::bit_cast<float>(std::uint32_t{bits} << 16); }

Tensor convert_to_f32(const StoredMatrix& stored, std::size_t rows) {
  const std::size_t shape[] = {rows, stored.columns};
  Tensor tensor = allocate_host_tensor(DType::f32, shape);
  convert_to_f32(stored, 0, tensor.matrix<float>());
  return tensor;
}

void convert_to_f32(const StoredMatrix& stored, std::size_t first, MatrixView<float> out) {
  switch (stored.dtype) {
    case DType::f32:
      return convert<float>(stored, first, out);
    case DType::bf16:
      return convert<Bfloat16>(stored, first, out);
    case DType::f16:
      return convert<Half>(stored, first, out);
    case DType::f64:
      return convert<double>(stored, first, out);
    case DType::i32:
      return convert<std::int32_t>(stored, first, out);
    case DType::i64:
      return convert<std::int64_t>(stored, first, out);
    case DType::u8:
      return convert<std::uint8_t>(stored, first, out);
  }
}

}  // namespace lexiscope
