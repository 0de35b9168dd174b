// The gated perceptron of the LLaMA family: SiLU(gate) times up, then down, in one pass.
#pragma once

#include "lexiscope/ops/linear.h"

namespace lexiscope {

/// y = (silu(x W_gate^T + b_gate) * (x W_up^T + b_up)) W_down^T + b_down + residual, silu(z) = z / (1 + exp(-z)).
/// Shazeer 2020, eq. 6.
///
/// T = 0 does nothing. Throws Error{kInvalidArgument} as LinearArgs does.
struct SwigluMlpArgs {
  MatrixView<const float> x{};          ///< [T, d]
  const PackedMatrix* gate = nullptr;   ///< [m, d]
  VectorView<const float> gate_bias{};  ///< [m], or empty for none
  const PackedMatrix* up = nullptr;     ///< [m, d]
  VectorView<const float> up_bias{};    ///< [m], or empty for none
  const PackedMatrix* down = nullptr;   ///< [d, m]
  VectorView<const float> down_bias{};  ///< [d], or empty for none
  MatrixView<const float> residual{};   ///< [T, d], or empty for none; may be x
  MatrixView<float> y{};                ///< [T, d]; may be residual itself, but not x; must overlap nothing otherwise
};

}  // namespace lexiscope
