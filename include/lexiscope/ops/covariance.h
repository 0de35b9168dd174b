// The covariance (or the uncentred second moment) of the rows of a matrix, in double.
#pragma once

#include "lexiscope/control.h"
#include "lexiscope/tensor.h"

namespace lexiscope {

/// covariance = (1/N) sum_i (x_i - m)(x_i - m)^T, with m the mean row where `centered`, else 0 (the source's
/// S = (1/N) E^T E). Note that statistics packages divide by N - 1: their values are N / (N - 1) times these.
///
/// Throws Error{kInvalidArgument} where a shape disagrees, N or d is 0, or x holds a NaN or infinity (names the row).
struct CovarianceArgs {
  /// [N, d], in the host's memory on every engine: the rows may be more than fit in a device's.
  MatrixView<const float> x{};
  bool centered = true;
  VectorView<double> mean{};        ///< [d] out: the mean row (in either case)
  MatrixView<double> covariance{};  ///< [d, d] out: symmetric, both triangles
  const Control* control = nullptr;
};

}  // namespace lexiscope
