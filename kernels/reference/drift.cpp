// The drift of each token from its definition, in double.
#include "kernels/reference/drift.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace lexiscope::reference {

void drift(const DriftArgs& args) {
  for (std::size_t t = 0; t < args.before.rows; ++t) {
    double moved = 0, before = 0, after = 0, dot = 0;
    for (std::size_t i = 0; i < args.before.columns; ++i) {
      const double a = args.before.row(t)[i], b = args.after.row(t)[i];
      moved += (b - a) * (b - a);
      before += a * a;
      after += b * b;
      dot += a * b;
    }
    const double norm = std::sqrt(moved), length = std::sqrt(before);
    const double from_zero = after == 0 ? 0 : std::numeric_limits<double>::infinity();
    const bool has_angle = before != 0 && after != 0;
    const double cosine = has_angle ? dot / (length * std::sqrt(after)) : 0;
    if (!args.norm.empty()) args.norm[t] = static_cast<float>(norm);
    if (!args.relative.empty()) args.relative[t] = static_cast<float>(before == 0 ? from_zero : norm / length);
    if (!args.cosine.empty()) args.cosine[t] = static_cast<float>(std::clamp(cosine, -1.0, 1.0));
  }
}

}  // namespace lexiscope::reference
