// Copies into another type element by element; bf16 by the definition of rounding, not by its bits.
#include "kernels/reference/convert.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/reference/elements.h"

namespace lexiscope::reference {
namespace {

/// The nearest bf16, ties to even: 8 significant bits, below 2^-126 multiples of 2^-133, and beyond the largest
/// infinity.
float round_to_bf16(double value) {
  if (!std::isfinite(value) || value == 0) return static_cast<float>(value);
  int exponent;
  std::frexp(value, &exponent);  // |value| is in [2^(exponent - 1), 2^exponent)
  const int last_bit = std::max(exponent, -125) - 8;
  const double rounded = std::ldexp(std::nearbyint(std::ldexp(value, -last_bit)), last_bit);
  if (std::abs(rounded) >= 0x1p128) return std::copysign(std::numeric_limits<float>::infinity(), float(value));
  return static_cast<float>(rounded);
}

std::uint32_t bits_of(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

}  // namespace

void convert(const ConvertArgs& args) {
  for (std::size_t i = 0; i < args.from.shape[0]; ++i)
    for (std::size_t j = 0; j < args.from.shape[1]; ++j) {
      const double value = element(args.from, i * args.from.strides[0] + j);
      const std::size_t at = i * args.to.strides[0] + j;
      if (args.to.dtype == DType::bf16)
        static_cast<std::uint16_t*>(args.to.data)[at] = static_cast<std::uint16_t>(bits_of(round_to_bf16(value)) >> 16);
      else
        static_cast<float*>(args.to.data)[at] = static_cast<float>(value);
    }
}

}  // namespace lexiscope::reference
