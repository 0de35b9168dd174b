// How far a step moves each token: D(l) = norm(Z(l) - Z(l-1)), its relative size and the angle.
#pragma once

#include "lexiscope/tensor.h"

namespace lexiscope {

/// For every token t, with a = before[t] and b = after[t] (Euclidean norms). Outputs that are empty are not wanted.
/// Sums are in double, so no square overflows; a result beyond f32 is infinite.
///
/// T = 0 does nothing. Throws Error{kInvalidArgument} where a shape disagrees or an output overlaps an input or
/// another output.
struct DriftArgs {
  MatrixView<const float> before{};  ///< [T, d]
  MatrixView<const float> after{};   ///< [T, d]
  VectorView<float> norm{};          ///< [T] |b - a|
  VectorView<float> relative{};      ///< [T] |b - a| / |a|; where a is 0: 0 if b is too, else infinity
  VectorView<float> cosine{};        ///< [T] a . b / (|a| |b|), within [-1, 1]; 0 where a or b is 0
};

}  // namespace lexiscope
