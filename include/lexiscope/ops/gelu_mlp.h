// The transformer's two-layer perceptron: up, GELU, down, without the hidden activations leaving the cache.
#pragma once

#include "lexiscope/ops/linear.h"

namespace lexiscope {

/// y = gelu(x W_up^T + b_up) W_down^T + b_down + residual.
///
/// T = 0 does nothing. Throws Error{kInvalidArgument} as LinearArgs does, or where `activation` is no GELU.
struct GeluMlpArgs {
  MatrixView<const float> x{};          ///< [T, d]
  const PackedMatrix* up = nullptr;     ///< [m, d]
  VectorView<const float> up_bias{};    ///< [m], or empty for none
  const PackedMatrix* down = nullptr;   ///< [d, m]
  VectorView<const float> down_bias{};  ///< [d], or empty for none
  Activation activation = Activation::gelu_erf;
  MatrixView<const float> residual{};  ///< [T, d], or empty for none; may be x
  MatrixView<float> y{};               ///< [T, d]; may be residual itself, but not x; must overlap nothing otherwise
};

}  // namespace lexiscope
