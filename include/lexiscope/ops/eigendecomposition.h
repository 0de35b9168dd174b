// Eigenvalues and eigenvectors of a symmetric positive semi-definite matrix, largest first.
#pragma once

#include "lexiscope/tensor.h"

namespace lexiscope {

/// S v = lambda v. Eigenvalues descend, those below 0 (rounding) are clamped at 0; eigenvectors are rows of unit
/// length, each with the sign that makes its component of largest magnitude (the first of several) positive.
///
/// Throws Error{kInvalidArgument} where a shape disagrees, d is 0, k > d, or the lower triangle holds a NaN or infinity
/// (names the element).
struct EigendecompositionArgs {
  MatrixView<const double> matrix{};  ///< [d, d], symmetric: only the lower triangle is read
  VectorView<double> eigenvalues{};   ///< [d] out, descending
  MatrixView<double> eigenvectors{};  ///< [k, d] out, row j belongs to eigenvalue j
};

}  // namespace lexiscope
