// t-SNE problems for tests: affinities made up of random pairs, maps like those of a run's phases, and the calls.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <random>
#include <vector>

#include "lexiscope/engine.h"
#include "tests/support/compare.h"

namespace lexiscope::testing {

/// A symmetric matrix from weights p[{i, j}] of unordered pairs, normalised to a sum of 1.
inline SparseMatrix make_affinities(Engine& engine, std::size_t n,
                                    const std::map<std::pair<std::size_t, std::size_t>, double>& pairs) {
  std::vector<std::map<std::size_t, double>> rows(n);
  double sum = 0;
  for (const auto& [pair, weight] : pairs) {
    rows[pair.first][pair.second] = rows[pair.second][pair.first] = weight;
    sum += 2 * weight;
  }
  SparseMatrix matrix{engine.allocate(DType::i64, {n + 1}), engine.allocate(DType::i32, {2 * pairs.size()}),
                      engine.allocate(DType::f32, {2 * pairs.size()})};
  std::int64_t at = 0;
  for (std::size_t i = 0; i < n; ++i) {
    for (const auto& [j, weight] : rows[i]) {
      matrix.columns.vector<std::int32_t>().data[at] = static_cast<std::int32_t>(j);
      matrix.values.vector<float>().data[at++] = static_cast<float>(weight / sum);
    }
    matrix.row_offsets.vector<std::int64_t>().data[i + 1] = at;
  }
  return matrix;
}

/// Random pairs, about `degree` a point, and (0, 1) so that there is one; rows of odd lengths, some of them empty.
inline SparseMatrix random_affinities(Engine& engine, std::size_t n, std::size_t degree, unsigned seed) {
  std::mt19937 random(seed);
  std::map<std::pair<std::size_t, std::size_t>, double> pairs{{{0, 1}, 1.0}};
  for (std::size_t k = 0; k < n * degree / 2; ++k) {
    const std::size_t i = random() % n, j = random() % n;
    if (i != j) pairs[{std::min(i, j), std::max(i, j)}] = 0.1 + static_cast<double>(random() % 100);
  }
  return make_affinities(engine, n, pairs);
}

inline MatrixView<float> as_map(std::vector<float>& values, std::size_t dimensions) {
  return {values.data(), values.size() / dimensions, dimensions, dimensions};
}

struct Gradient {
  std::vector<float> values;
  double normalization = 0;
};

inline Gradient gradient_of(Engine& engine, TsnePlan& plan, std::vector<float> positions, float exaggeration) {
  Gradient gradient{std::vector<float>(positions.size()), 0};
  engine.tsne_gradient({.plan = &plan,
                        .positions = as_map(positions, plan.dimensions()),
                        .exaggeration = exaggeration,
                        .gradient = as_map(gradient.values, plan.dimensions()),
                        .normalization = &gradient.normalization});
  return gradient;
}

/// norm(got - want) / norm(want).
inline double relative_error(const std::vector<float>& got, const std::vector<float>& want) {
  double error = 0, size = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    error += std::pow(double(got[i]) - double(want[i]), 2);
    size += std::pow(double(want[i]), 2);
  }
  return std::sqrt(error / size);
}

}  // namespace lexiscope::testing
