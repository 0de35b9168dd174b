// RMSNorm, the normalisation of the LLaMA family: no mean is subtracted and no bias added.
#pragma once

#include "lexiscope/tensor.h"

namespace lexiscope {

/// y[t] = gain * x[t] / sqrt(mean_c x[t][c]^2 + epsilon). Zhang and Sennrich 2019, eq. 4.
///
/// T = 0 does nothing. Throws Error{kInvalidArgument} where a shape disagrees, d is 0, epsilon is not positive, or y
/// overlaps an argument in another way than its comment allows.
struct RmsNormArgs {
  MatrixView<const float> x{};     ///< [T, d]
  VectorView<const float> gain{};  ///< [d]
  MatrixView<float> y{};           ///< [T, d]; may be x itself; must overlap nothing otherwise
  float epsilon = 1e-5f;           ///< > 0, in squared units of x
};

}  // namespace lexiscope
