// t-SNE's gradient over all pairs and openTSNE's gradient descent, in double, straight from the formulas. The map, its
// update and its gains are rounded to f32 once an iteration, since that is what they are stored in.
#include "kernels/reference/tsne_gradient.h"

#include <cmath>
#include <vector>

namespace lexiscope::reference {
namespace {

int sign(double value) { return (value > 0) - (value < 0); }

double similarity(const MatrixView<const float>& positions, std::size_t i, std::size_t j) {
  double distance = 0;
  for (std::size_t c = 0; c < positions.columns; ++c) {
    const double difference = double(positions.row(i)[c]) - double(positions.row(j)[c]);
    distance += difference * difference;
  }
  return 1 / (1 + distance);
}

// The gradient [N, dimensions], and Z.
double gradient_of(const SparseMatrix& affinities, const MatrixView<const float>& positions, double exaggeration,
                   std::vector<double>& gradient) {
  const std::size_t n = positions.rows, dimensions = positions.columns;
  std::vector<double> repulsion(n * dimensions);
  double z = 0;
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) {
      if (i == j) continue;
      const double q = similarity(positions, i, j);
      z += q;
      for (std::size_t c = 0; c < dimensions; ++c)
        repulsion[i * dimensions + c] += q * q * (double(positions.row(i)[c]) - double(positions.row(j)[c]));
    }
  const auto offsets = affinities.row_offsets.vector<std::int64_t>();
  const auto columns = affinities.columns.vector<std::int32_t>();
  const auto values = affinities.values.vector<float>();
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t c = 0; c < dimensions; ++c) {
      double attraction = 0;
      for (auto e = static_cast<std::size_t>(offsets[i]); e < static_cast<std::size_t>(offsets[i + 1]); ++e) {
        const auto j = static_cast<std::size_t>(columns[e]);
        attraction +=
            values[e] * similarity(positions, i, j) * (double(positions.row(i)[c]) - double(positions.row(j)[c]));
      }
      gradient[i * dimensions + c] = exaggeration * attraction - repulsion[i * dimensions + c] / z;
    }
  return z;
}

void step(const TsneStepArgs& args, const std::vector<double>& gradient) {
  const std::size_t n = args.positions.rows, dimensions = args.positions.columns;
  std::vector<double> next(n * dimensions), mean(dimensions);
  for (std::size_t i = 0; i < n; ++i) {
    std::vector<double> update(dimensions);
    double squared_norm = 0;
    for (std::size_t c = 0; c < dimensions; ++c) {
      const double g = gradient[i * dimensions + c], gain = args.gains.row(i)[c];
      const bool same = sign(g) == sign(args.update.row(i)[c]);
      const double new_gain = same ? 0.8 * gain + double(args.min_gain) : gain + 0.2;
      update[c] = double(args.momentum) * args.update.row(i)[c] - double(args.learning_rate) * new_gain * g;
      squared_norm += update[c] * update[c];
      args.gains.row(i)[c] = static_cast<float>(new_gain);
    }
    const double norm = std::sqrt(squared_norm), limit = args.max_step_norm;
    for (std::size_t c = 0; c < dimensions; ++c) {
      if (norm > limit) update[c] *= limit / norm;
      args.update.row(i)[c] = static_cast<float>(update[c]);
      next[i * dimensions + c] = args.positions.row(i)[c] + update[c];
      mean[c] += next[i * dimensions + c] / static_cast<double>(n);
    }
  }
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t c = 0; c < dimensions; ++c)
      args.positions.row(i)[c] = static_cast<float>(next[i * dimensions + c] - mean[c]);
}

}  // namespace

double tsne_gradient(const SparseMatrix& affinities, const TsneGradientArgs& args) {
  const std::size_t n = args.positions.rows, dimensions = args.positions.columns;
  std::vector<double> gradient(n * dimensions);
  const double z = gradient_of(affinities, args.positions, args.exaggeration, gradient);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t c = 0; c < dimensions; ++c)
      args.gradient.row(i)[c] = static_cast<float>(gradient[i * dimensions + c]);
  return z;
}

void tsne_step(const SparseMatrix& affinities, const TsneStepArgs& args) {
  std::vector<double> gradient(args.positions.rows * args.positions.columns);
  for (std::size_t iteration = 0; iteration < args.iterations; ++iteration) {
    gradient_of(affinities, args.positions, args.exaggeration, gradient);
    step(args, gradient);
  }
}

}  // namespace lexiscope::reference
