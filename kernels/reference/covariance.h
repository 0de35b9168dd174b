#pragma once

#include "lexiscope/ops/covariance.h"

namespace lexiscope::reference {

void mean_row(MatrixView<const float> x, VectorView<double> mean);

/// Rows [first, last) of the covariance, about the mean that mean_row found.
void covariance_rows(const CovarianceArgs& args, std::size_t first, std::size_t last);

}  // namespace lexiscope::reference
