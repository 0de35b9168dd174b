// f32 to bf16 by integer instructions, as the other engines convert: to nearest, ties to even, a NaN to a NaN of its
// sign.
#pragma once

#include <cstdint>

#include "simt/cuda.h"

namespace lexiscope::cuda {

__device__ inline std::uint16_t bf16_bits(float value) {
  const unsigned bits = __float_as_uint(value);
  const unsigned nearest = bits + 0x7fffu + (bits >> 16 & 1u);  // a NaN could become infinity, or lose its sign
  return static_cast<std::uint16_t>((value != value ? bits | 0x400000u : nearest) >> 16);
}

__device__ inline float from_bf16_bits(std::uint16_t bits) { return __uint_as_float(unsigned{bits} << 16); }

}  // namespace lexiscope::cuda
