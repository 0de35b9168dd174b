// bf16 in tests: the upper half of an f32, rounded to nearest, ties to even.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

namespace lexiscope::testing {

inline std::uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return static_cast<std::uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}
inline float from_bf16(std::uint16_t value) { return std::bit_cast<float>(std::uint32_t{value} << 16); }

inline void round_to_bf16(std::vector<float>& values) {
  for (float& x : values) x = from_bf16(to_bf16(x));
}

}  // namespace lexiscope::testing
