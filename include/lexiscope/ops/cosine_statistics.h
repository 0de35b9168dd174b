// How the rows of an embedding lie on the sphere: their norms, their mean, and how far from isotropic they are.
#pragma once

#include "lexiscope/control.h"
#include "lexiscope/tensor.h"

namespace lexiscope {

/// Filled by Engine::cosine_statistics.
struct CosineStatistics {
  double mean_norm = 0;     ///< (1/N) sum_i norm(x_i)
  double norm_of_mean = 0;  ///< norm((1/N) sum_i x_i)
  double mean_cosine =
      0;  ///< over all pairs i != j; a zero row has cosine 0 with everything. Ethayarajh 2019. 0 for N = 1
  double isotropy = 0;  ///< min_c Z(c) / max_c Z(c), Z(c) = sum_i exp(c . x_i) over +- the directions; 1 is
                        ///< isotropic. Mu and Viswanath 2018, eq. 5. NaN where no directions are given
};

/// Throws Error{kInvalidArgument} where a shape disagrees, N or d is 0, or x holds a NaN or infinity (names the row).
struct CosineStatisticsArgs {
  MatrixView<const float> x{};            ///< [N, d], in the host's memory on every engine, as for the covariance
  MatrixView<const double> directions{};  ///< [m, d] unit rows: the eigenvectors of x^T x; empty for none
  VectorView<float> norms{};              ///< [N] out, or empty
  VectorView<double> mean{};              ///< [d] out, or empty
  const Control* control = nullptr;
};

}  // namespace lexiscope
