// The covariance from its definition: the mean row first, then the mean of the products of deviations.
#include "kernels/reference/covariance.h"

namespace lexiscope::reference {

void mean_row(MatrixView<const float> x, VectorView<double> mean) {
  for (std::size_t a = 0; a < x.columns; ++a) {
    double sum = 0;
    for (std::size_t i = 0; i < x.rows; ++i) sum += x.row(i)[a];
    mean[a] = sum / static_cast<double>(x.rows);
  }
}

void covariance_rows(const CovarianceArgs& args, std::size_t first, std::size_t last) {
  for (std::size_t a = first; a < last; ++a)
    for (std::size_t b = 0; b < args.x.columns; ++b) {
      const double center_a = args.centered ? args.mean[a] : 0, center_b = args.centered ? args.mean[b] : 0;
      double sum = 0;
      for (std::size_t i = 0; i < args.x.rows; ++i)
        sum += (args.x.row(i)[a] - center_a) * (args.x.row(i)[b] - center_b);
      args.covariance.row(a)[b] = sum / static_cast<double>(args.x.rows);
    }
}

}  // namespace lexiscope::reference
