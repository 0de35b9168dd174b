// Nearest neighbours straight from the definition: every distance in double, rounded to f32 and sorted
// with ties by index.
#include "kernels/reference/neighbors.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

namespace lexiscope::reference {
namespace {

double euclidean_distance(const float* x, const float* y, std::size_t d) {
  double sum = 0;
  for (std::size_t a = 0; a < d; ++a) sum += (double(x[a]) - y[a]) * (double(x[a]) - y[a]);
  return std::sqrt(sum);
}

double norm(const float* x, std::size_t d) {
  double sum = 0;
  for (std::size_t a = 0; a < d; ++a) sum += double(x[a]) * x[a];
  return std::sqrt(sum);
}

// 1 - cos(x, y) as half the squared distance of the unit vectors, which does not cancel where x and y are parallel.
double cosine_distance(const float* x, const float* y, std::size_t d) {
  const double x_norm = norm(x, d), y_norm = norm(y, d);
  if (x_norm == 0 || y_norm == 0) return 1;
  double sum = 0;
  for (std::size_t a = 0; a < d; ++a) sum += (x[a] / x_norm - y[a] / y_norm) * (x[a] / x_norm - y[a] / y_norm);
  return sum / 2;
}

}  // namespace

void neighbors(const NeighborsArgs& args, std::size_t first, std::size_t last) {
  const bool self = args.queries.empty();
  const auto queries = self ? args.points : args.queries;
  const std::size_t d = args.points.columns, k = args.indices.columns;
  std::vector<std::pair<float, std::size_t>> found;
  for (std::size_t i = first; i < last; ++i) {
    found.clear();
    for (std::size_t j = 0; j < args.points.rows; ++j) {
      if (self && j == i) continue;
      const float *x = queries.row(i), *y = args.points.row(j);
      const double distance = args.metric == Metric::cosine ? cosine_distance(x, y, d) : euclidean_distance(x, y, d);
      found.emplace_back(static_cast<float>(distance), j);
    }
    std::sort(found.begin(), found.end());
    for (std::size_t n = 0; n < k; ++n) {
      args.distances.row(i)[n] = found[n].first;
      args.indices.row(i)[n] = static_cast<std::int32_t>(found[n].second);
    }
  }
}

}  // namespace lexiscope::reference
