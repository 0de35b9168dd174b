#pragma once

#include <cuda_runtime.h>

#include "lexiscope/ops/eigendecomposition.h"

namespace lexiscope::cuda {

/// What there is to find among the elements: the first that is NaN or infinity as row * d + column, else this.
inline constexpr unsigned long long kAllFinite = ~0ull;

/// All of these enqueue on `stream` and return; everything points to device memory.

/// The lower triangle of a matrix [d, d], dense, with zeros above it: what a library overwrites with eigenvectors.
/// `first_not_finite` comes with kAllFinite and keeps it unless an element is NaN or infinity.
void copy_lower_triangle(MatrixView<const double> matrix, double* to, unsigned long long* first_not_finite,
                         cudaStream_t stream);

/// From eigenvalues [d], ascending, and their eigenvectors, one behind the other: the arguments' order, clamped at 0
/// and with their signs.
void finish_eigendecomposition(const EigendecompositionArgs& args, const double* values, const double* vectors,
                               cudaStream_t stream);

}  // namespace lexiscope::cuda
