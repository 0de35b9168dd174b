// f16 in tests: 11 significant bits, rounded to nearest, ties to even; subnormal below 2^-14. For finite values that
// fit.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

namespace lexiscope::testing {

inline std::uint16_t to_f16(float value) {
  const auto sign = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16 & 0x8000);
  const float magnitude = std::abs(value);
  if (magnitude < 0x1p-14f)  // beside 0.5 the last place is 2^-24, as of a subnormal f16
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(magnitude + 0.5f) & 0x7FFFFF));
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(magnitude) - (112u << 23);  // the exponent's bias is 15
  return static_cast<std::uint16_t>(sign | (bits + 0xFFF + (bits >> 13 & 1)) >> 13);
}
inline float from_f16(std::uint16_t value) {
  const float magnitude = std::bit_cast<float>((value & 0x7FFFu) << 13) * 0x1p112f;
  return value & 0x8000 ? -magnitude : magnitude;
}

inline void round_to_f16(std::vector<float>& values) {
  for (float& x : values) x = from_f16(to_f16(x));
}

}  // namespace lexiscope::testing
