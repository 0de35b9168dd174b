// How far a product and the activation behind it may lie from exact arithmetic: the bounds of linear and gelu_mlp.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "lexiscope/ops/linear.h"
#include "tests/support/compare.h"

namespace lexiscope::testing {

/// On tiles of bf16 a product is six of parts of its factors, of which 2^-23 = 2 u is left out. A tile's sums of even
/// and odd steps round up to 16 times each and once where they meet, and the sums of six a step of 32 once each.
inline double tile_roundings(std::size_t n) {
  return static_cast<double>(6 * ((n + 31) / 32) + std::min<std::size_t>(n, 16) + 4);
}

/// A sum of n products and a bias in any order, with or without fused multiply-adds: n + 1 roundings at most touch a
/// term, and second-order terms are less than one more. `magnitude` is the sum of absolute terms. In bf16 tensor cores
/// may be at work: they add eight products and the sum so far at once, cut off at u of the largest (all but itself),
/// and cut the result off to f32, 2 u: 10 u for each eight terms. In f32 the processor's tiles may be.
inline double sum_roundings(std::size_t n, DType precision = DType::f32) {
  if (precision != DType::f32) return static_cast<double>((n + 7) / 8 * 10 + 2);
  return std::max(static_cast<double>(n + 2), tile_roundings(n));
}
inline double sum_bound(std::size_t n, double magnitude, DType precision = DType::f32) {
  return sum_roundings(n, precision) * kUnitF32 * magnitude;
}

/// What an error of its argument may become behind the activation: the slopes of the GELUs and of SiLU stay below 1.13.
inline double slope_bound(Activation activation) { return activation == Activation::none ? 1 : 1.13; }

/// The activation's own error where its value is y. Exact GELU: |x| Phi(-|x|) is off by less than 2.5 u (the fit by
/// 3e-8 = u / 2, the rest is rounding of factors below 1/2), the difference rounds once. By tanh: the exponent e of
/// x / (1 + exp(e)) is off by 5 u |e| and exp by 2 u, which |x| s (1 - s) (5 |e| + 2) < 1.5 bounds, s = 1 / (1 +
/// exp(-e)); product and quotient round 4 times. SiLU, y = x s: the exponent is off by u |x|, the power by 4 u, sum and
/// quotient by one each: (1 - s) (|x| + 4) |y| + 2 |y|, where (1 - s) |x y| < 0.5 and 4 (1 - s) |y| < 2 |y| + 0.6.
inline double activation_bound(Activation activation, double y) {
  return activation == Activation::none ? 0 : kUnitF32 * (4 * std::abs(y) + 2.5);
}

/// Adding the residual and storing rounds on our side, storing on the reference's.
inline double store_bound(double y, double residual) { return kUnitF32 * (2 * std::abs(y) + std::abs(residual)); }

}  // namespace lexiscope::testing
