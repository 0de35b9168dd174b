// The activations that products fuse behind their sums, accurate to the bounds of docs/numerics.md.
#pragma once

#include "lexiscope/ops/linear.h"
#include "simt/cuda.h"

namespace lexiscope::cuda {

/// x Phi(x) = max(x, 0) - |x| Phi(-|x|): the tail is small where x is large, so nothing cancels. a Phi(-a) < 0.17, so
/// erfcf, right to 4 units in the last place, 8 u, makes 1.4 u of it; its argument, rounded twice, moves it by 0.6 u;
/// the product rounds by 0.4 u. So the result is off by u |y| + 2.4 u at most, u = 2^-24. NaN stays NaN.
__device__ inline float gelu_erf(float x) {
  constexpr float kRootHalf = 0.70710678f, kTailEnd = 13;  // Phi(-13) is below the least normal f32
  const float a = fminf(fabsf(x), kTailEnd);
  const float tail = 0.5f * a * erfcf(a * kRootHalf);
  return (x < 0 ? 0.0f : x) - tail;
}

/// 0.5 x (1 + tanh(z)) = x / (1 + exp(-2 z)), z = sqrt(2 / pi) (x + 0.044715 x^3); NaN stays NaN.
__device__ inline float gelu_tanh(float x) {
  constexpr float kLinear = -1.5957691216f, kCubic = kLinear * 0.044715f;  // -2 sqrt(2 / pi)
  return x / (1 + expf(x * fmaf(kCubic, x * x, kLinear)));
}

/// x / (1 + exp(-x)); NaN stays NaN.
__device__ inline float silu(float x) { return x / (1 + expf(-x)); }

__device__ inline float activate(Activation activation, float x) {
  switch (activation) {
    case Activation::none:
      return x;
    case Activation::gelu_erf:
      return gelu_erf(x);
    case Activation::gelu_tanh:
      return gelu_tanh(x);
    case Activation::silu:
      return silu(x);
  }
  return x;
}

}  // namespace lexiscope::cuda
