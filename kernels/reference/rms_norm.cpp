// RMSNorm as the paper writes it, in double.
#include "kernels/reference/rms_norm.h"

#include <cmath>

namespace lexiscope::reference {

void rms_norm(const RmsNormArgs& args) {
  const std::size_t d = args.x.columns;
  for (std::size_t t = 0; t < args.x.rows; ++t) {
    double mean_square = 0;
    for (std::size_t i = 0; i < d; ++i)
      mean_square += static_cast<double>(args.x.row(t)[i]) * args.x.row(t)[i] / static_cast<double>(d);
    for (std::size_t i = 0; i < d; ++i) {
      const double normal = args.x.row(t)[i] / std::sqrt(mean_square + args.epsilon);
      args.y.row(t)[i] = static_cast<float>(args.gain[i] * normal);
    }
  }
}

}  // namespace lexiscope::reference
