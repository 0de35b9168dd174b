// t-SNE's affinities straight from their definitions: bisection of beta to the last bit, sums in double, maps.
#include "kernels/reference/affinities.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

namespace lexiscope::reference {
namespace {

using SparseMap = std::vector<std::map<std::int32_t, double>>;

SparseRows compress(const SparseMap& rows) {
  SparseRows result;
  result.row_offsets.push_back(0);
  for (const auto& row : rows) {
    for (const auto& [column, value] : row) {
      result.columns.push_back(column);
      result.values.push_back(static_cast<float>(value));
    }
    result.row_offsets.push_back(static_cast<std::int64_t>(result.columns.size()));
  }
  return result;
}

// p_j proportional to exp(-beta (d_j^2 - least)).
std::vector<double> weights_of(std::span<const float> distances, double least, double beta) {
  std::vector<double> p;
  double sum = 0;
  for (const float distance : distances) {
    p.push_back(std::exp(-beta * (double(distance) * distance - least)));
    sum += p.back();
  }
  for (double& value : p) value /= sum;
  return p;
}

double entropy_of(const std::vector<double>& p) {
  double entropy = 0;
  for (const double value : p)
    if (value > 0) entropy -= value * std::log(value);
  return entropy;
}

double squared_distance(const float* x, const float* y, std::size_t d) {
  double sum = 0;
  for (std::size_t a = 0; a < d; ++a) sum += (double(x[a]) - y[a]) * (double(x[a]) - y[a]);
  return sum;
}

}  // namespace

std::vector<double> calibrated_row(std::span<const float> distances, double perplexity) {
  constexpr double kVanish = 1e120;  // beyond, all but the nearest have weight 0: squares of floats differ by 1e-106
  const double nearest = *std::min_element(distances.begin(), distances.end()), least = nearest * nearest;
  if (perplexity >= static_cast<double>(distances.size())) return weights_of(distances, least, 0);
  const double wanted = std::log(perplexity);
  const auto too_wide = [&](double beta) { return entropy_of(weights_of(distances, least, beta)) > wanted; };
  double wide = 0, narrow = 1e-120;
  while (narrow < kVanish && too_wide(narrow)) wide = narrow, narrow *= 1024;
  for (double middle = (wide + narrow) / 2; wide < middle && middle < narrow; middle = (wide + narrow) / 2)
    (too_wide(middle) ? wide : narrow) = middle;
  return weights_of(distances, least, narrow);
}

SparseRows affinities(const AffinitiesArgs& args) {
  const std::size_t N = args.indices.rows, k = args.indices.columns;
  SparseMap rows(N);
  for (std::size_t i = 0; i < N; ++i) {
    const auto p = calibrated_row({args.distances.row(i), k}, args.perplexity);
    for (std::size_t n = 0; n < k; ++n) {
      const std::int32_t j = args.indices.row(i)[n];
      const double share = p[n] / (2 * static_cast<double>(N));
      rows[i][j] += share;
      rows[static_cast<std::size_t>(j)][static_cast<std::int32_t>(i)] += share;
    }
  }
  return compress(rows);
}

SparseRows global_affinities(const GlobalAffinitiesArgs& args) {
  const std::size_t N = args.points.rows, d = args.points.columns;
  const double variance = double(args.sigma) * args.sigma;
  SparseMap rows(N);
  double sum = 0;
  for (std::size_t i = 0; i < N; ++i)
    for (std::size_t j = 0; j < N; ++j) {
      if (i == j) continue;
      const double squared = squared_distance(args.points.row(i), args.points.row(j), d);
      sum += rows[i][static_cast<std::int32_t>(j)] = std::exp(-squared / (2 * variance));
    }
  if (sum < std::numeric_limits<double>::min()) return {};
  for (auto& row : rows) {
    for (auto& [column, value] : row) value /= sum;
    std::erase_if(row, [](const auto& entry) { return static_cast<float>(entry.second) == 0; });
  }
  return compress(rows);
}

}  // namespace lexiscope::reference
