// The divergence as it is defined, in double: Z over all ordered pairs, then the sum over the affinities.
#include "kernels/reference/tsne_kl.h"

#include <cmath>

namespace lexiscope::reference {
namespace {

double similarity(const MatrixView<const float>& positions, std::size_t i, std::size_t j) {
  double distance = 0;
  for (std::size_t c = 0; c < positions.columns; ++c)
    distance += std::pow(double(positions.row(i)[c]) - double(positions.row(j)[c]), 2);
  return 1 / (1 + distance);
}

}  // namespace

double tsne_kl(const TsneKlArgs& args) {
  const auto offsets = args.affinities->row_offsets.vector<std::int64_t>();
  const auto columns = args.affinities->columns.vector<std::int32_t>();
  const auto values = args.affinities->values.vector<float>();
  const std::size_t n = args.positions.rows;
  double z = 0, sum = 0, divergence = 0;
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j)
      if (i != j) z += similarity(args.positions, i, j);
  for (std::size_t e = 0; e < values.size; ++e) sum += values[e];
  for (std::size_t i = 0; i < n; ++i)
    for (auto e = static_cast<std::size_t>(offsets[i]); e < static_cast<std::size_t>(offsets[i + 1]); ++e) {
      if (values[e] == 0) continue;  // p log p tends to 0
      const double p = values[e] / sum, q = similarity(args.positions, i, static_cast<std::size_t>(columns[e])) / z;
      divergence += p * std::log(p / q);
    }
  return divergence;
}

}  // namespace lexiscope::reference
