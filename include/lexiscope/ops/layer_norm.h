// LayerNorm with the residual addition that precedes it in a post-LN layer: LN(Z + Attn(Z)).
#pragma once

#include "lexiscope/tensor.h"

namespace lexiscope {

/// y[t] = gain * (s[t] - mean(s[t])) / sqrt(var(s[t]) + epsilon) + bias, with s = x + residual; the variance
/// is the biased one (divided by d). Ba, Kiros, Hinton 2016, eq. 4.
///
/// T = 0 does nothing. Throws Error{kInvalidArgument} where a shape disagrees, d is 0, epsilon is not positive, or y
/// overlaps an argument in another way than its comment allows.
struct LayerNormArgs {
  MatrixView<const float> x{};         ///< [T, d]
  MatrixView<const float> residual{};  ///< [T, d], or empty for none
  VectorView<const float> gain{};      ///< [d]
  VectorView<const float> bias{};      ///< [d], or empty for none
  MatrixView<float> y{};               ///< [T, d]; may be x or residual itself; must overlap nothing otherwise
  float epsilon = 1e-5f;               ///< > 0, in squared units of x
};

}  // namespace lexiscope
