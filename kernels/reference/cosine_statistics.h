#pragma once

#include <vector>

#include "lexiscope/ops/cosine_statistics.h"

namespace lexiscope::reference {

std::vector<double> row_norms(MatrixView<const float> x);

/// The sum of the cosines of rows [first, last) with the rows before each.
double sum_of_cosines(MatrixView<const float> x, const std::vector<double>& norms, std::size_t first, std::size_t last);

/// log Z(sign * direction).
double log_partition(MatrixView<const float> x, const double* direction, double sign);

}  // namespace lexiscope::reference
