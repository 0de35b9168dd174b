// Points expressed in the first principal components: E_proj = (E - mean) W_k.
#pragma once

#include "lexiscope/control.h"
#include "lexiscope/tensor.h"

namespace lexiscope {

/// scores[i][j] = (x_i - mean) . components_j.
///
/// Throws Error{kInvalidArgument} where a shape disagrees or scores overlaps x.
struct ProjectionArgs {
  MatrixView<const float> x{};            ///< [N, d], in the host's memory on every engine, as for the covariance
  VectorView<const double> mean{};        ///< [d], or empty for none
  MatrixView<const double> components{};  ///< [k, d], rows
  MatrixView<float> scores{};             ///< [N, k] out
  const Control* control = nullptr;
};

}  // namespace lexiscope
