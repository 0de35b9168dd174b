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
// Exponent and fraction moved into place make the value times 2^-112, subnormals included; infinity and NaN get the
// exponent that f32 has for them.
bool to_f32(Half value, float& out) {
  const std::uint32_t magnitude = value.bits & 0x7fffu;
  float result = std::bit_cast<float>(magnitude << 13) * 0x1p112f;
  if (magnitude >= 0x7c00u) result = std::bit_cast<float>((magnitude << 13) | 0x7f800000u);
  out = (value.bits & 0x8000u) ? -result : result;
  return true;
}
bool to_f32(Bfloat16 value, float& out) {
  out = std::bit_cast<float>(std::uint32_t{value.bits} << 16);
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
void convert(const StoredMatrix& stored, MatrixView<float> out) {
  const std::size_t row_step = stored.fortran_order ? 1 : stored.columns;
  const std::size_t column_step = stored.fortran_order ? stored.rows : 1;
  const auto convert_one = [&](std::size_t row, std::size_t column) {
    Element value;
    std::memcpy(&value, stored.data.data() + (row * row_step + column * column_step) * sizeof value, sizeof value);
    if (to_f32(value, out.row(row)[column])) return;
    if constexpr (std::is_arithmetic_v<Element>)
      fail(ErrorCode::kInvalidFile, "{} has {} in row {}, column {}, which f32 cannot hold", stored.name, value, row,
           column);
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

Tensor convert_to_f32(const StoredMatrix& stored, std::size_t rows) {
  const std::size_t shape[] = {rows, stored.columns};
  Tensor tensor = allocate_host_tensor(DType::f32, shape);
  const auto out = tensor.matrix<float>();
  switch (stored.dtype) {
    case DType::f32:
      convert<float>(stored, out);
      break;
    case DType::bf16:
      convert<Bfloat16>(stored, out);
      break;
    case DType::f16:
      convert<Half>(stored, out);
      break;
    case DType::f64:
      convert<double>(stored, out);
      break;
    case DType::i32:
      convert<std::int32_t>(stored, out);
      break;
    case DType::i64:
      convert<std::int64_t>(stored, out);
      break;
    case DType::u8:
      convert<std::uint8_t>(stored, out);
      break;
  }
  return tensor;
}

}  // namespace lexiscope
