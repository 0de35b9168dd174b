// Elements of untyped views as doubles, for reference kernels that take several element types.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "lexiscope/tensor.h"

namespace lexiscope::reference {

template <typename Element>
double load_as_double(const std::byte* at) {
  Element element;
  std::memcpy(&element, at, sizeof element);
  return static_cast<double>(element);
}

/// IEEE binary16: sign, 5 bits of exponent, 10 of fraction; exponent 0 holds zero and the subnormals.
inline double from_f16(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 31, fraction = bits & 1023;
  double magnitude = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(fraction + 1024, exponent - 25);
  if (exponent == 31) magnitude = fraction ? std::nan("") : HUGE_VAL;
  return bits & 0x8000 ? -magnitude : magnitude;
}

/// bf16 is the upper half of an f32.
inline double from_bf16(std::uint16_t bits) {
  const std::uint32_t word = std::uint32_t{bits} << 16;
  float value;
  std::memcpy(&value, &word, sizeof value);
  return value;
}

/// The element `offset` elements behind the view's first.
inline double element(const ConstTensorView& view, std::size_t offset) {
  const auto* at = static_cast<const std::byte*>(view.data) + offset * size_of(view.dtype);
  switch (view.dtype) {
    case DType::f32:
      return load_as_double<float>(at);
    case DType::f64:
      return load_as_double<double>(at);
    case DType::i32:
      return load_as_double<std::int32_t>(at);
    case DType::i64:
      return load_as_double<std::int64_t>(at);
    case DType::u8:
      return load_as_double<std::uint8_t>(at);
    case DType::f16:
    case DType::bf16:
      break;
  }
  std::uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return view.dtype == DType::f16 ? from_f16(bits) : from_bf16(bits);
}

}  // namespace lexiscope::reference
