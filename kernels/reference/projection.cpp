// The projection as written: (x_i - mean) . component_j.
#include "kernels/reference/projection.h"

namespace lexiscope::reference {

void project_rows(const ProjectionArgs& args, std::size_t first, std::size_t last) {
  for (std::size_t i = first; i < last; ++i)
    for (std::size_t j = 0; j < args.components.rows; ++j) {
      double score = 0;
      for (std::size_t a = 0; a < args.x.columns; ++a) {
        const double mean = args.mean.empty() ? 0 : args.mean[a];
        score += (args.x.row(i)[a] - mean) * args.components.row(j)[a];
      }
      args.scores.row(i)[j] = static_cast<float>(score);
    }
}

}  // namespace lexiscope::reference
