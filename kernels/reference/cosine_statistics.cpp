// The parts of the cosine statistics as the papers define them: every pair's cosine, every direction's partition
// function. Z is carried as its logarithm, since exp overflows where c . x passes 709.
#include "kernels/reference/cosine_statistics.h"

#include <algorithm>
#include <cmath>

namespace lexiscope::reference {
namespace {

double dot(const float* a, const float* b, std::size_t d) {
  double sum = 0;
  for (std::size_t i = 0; i < d; ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

}  // namespace

std::vector<double> row_norms(MatrixView<const float> x) {
  std::vector<double> norms(x.rows);
  for (std::size_t i = 0; i < x.rows; ++i) norms[i] = std::sqrt(dot(x.row(i), x.row(i), x.columns));
  return norms;
}

double sum_of_cosines(MatrixView<const float> x, const std::vector<double>& norms, std::size_t first,
                      std::size_t last) {
  double sum = 0;
  for (std::size_t i = first; i < last; ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (norms[i] > 0 && norms[j] > 0) sum += dot(x.row(i), x.row(j), x.columns) / (norms[i] * norms[j]);
  return sum;
}

double log_partition(MatrixView<const float> x, const double* direction, double sign) {
  std::vector<double> exponents(x.rows);
  for (std::size_t i = 0; i < x.rows; ++i)
    for (std::size_t a = 0; a < x.columns; ++a) exponents[i] += sign * direction[a] * x.row(i)[a];
  const double largest = *std::max_element(exponents.begin(), exponents.end());
  double sum = 0;
  for (const double exponent : exponents) sum += std::exp(exponent - largest);
  return largest + std::log(sum);
}

}  // namespace lexiscope::reference
