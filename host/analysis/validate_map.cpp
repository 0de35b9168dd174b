// Neighbours, affinities and t-SNE against the reference.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "host/analysis/validation_run.h"

namespace lexiscope {
namespace {

struct Lists {
  std::vector<std::int32_t> indices;
  std::vector<float> distances;
};

Lists nearest(Engine& engine, const std::vector<float>& points, std::size_t n, std::size_t k, Metric metric) {
  const std::size_t d = points.size() / n;
  Lists lists{std::vector<std::int32_t>(n * k), std::vector<float>(n * k)};
  engine.neighbors({.points = {points.data(), n, d, d},
                    .metric = metric,
                    .indices = {lists.indices.data(), n, k, k},
                    .distances = {lists.distances.data(), n, k, k}});
  return lists;
}

double distance(const float* x, const float* y, std::size_t d, Metric metric) {
  double x_squares = 0, y_squares = 0, sum = 0;
  for (std::size_t a = 0; a < d; ++a) {
    x_squares += double(x[a]) * x[a];
    y_squares += double(y[a]) * y[a];
  }
  const bool cosine = metric == Metric::cosine;
  const double x_scale = cosine ? 1 / std::sqrt(x_squares) : 1, y_scale = cosine ? 1 / std::sqrt(y_squares) : 1;
  for (std::size_t a = 0; a < d; ++a) sum += std::pow(x[a] * x_scale - y[a] * y_scale, 2);
  return cosine ? sum / 2 : std::sqrt(sum);
}

// One rounding to f32, and the double computations' own errors: Euclidean d + 4 roundings each; cosine, where unit
// vectors err by d + 4 roundings in length, so that half the square of their difference t errs by 2 |t| (d + 4) v and
// the square of that. u = 2^-24, v = 2^-53.
double distance_bound(double value, std::size_t d, Metric metric) {
  const double sums = 2 * (static_cast<double>(d) + 4) * kUnitF64, rounding = kUnitF32 * value + 0x1p-150;
  if (metric == Metric::euclidean) return rounding + sums * value;
  return rounding + 2 * sums * std::sqrt(2 * value) + 4 * sums * sums;
}

// ---- affinities

/// p_.|i of one row by bisection, from its definition.
std::vector<double> conditional(const float* distances, std::size_t k, double perplexity) {
  std::vector<double> p(k);
  double low = 0, high = 1;
  const auto entropy_at = [&](double beta) {
    double sum = 0, entropy = 0;
    for (std::size_t j = 0; j < k; ++j)
      sum += p[j] = std::exp(-beta * (double(distances[j]) * distances[j] - double(distances[0]) * distances[0]));
    for (double& value : p) {
      value /= sum;
      if (value > 0) entropy -= value * std::log(value);
    }
    return entropy;
  };
  while (entropy_at(high) > std::log(perplexity)) high *= 2;
  for (int step = 0; step < 200; ++step) {
    const double middle = (low + high) / 2;
    (entropy_at(middle) > std::log(perplexity) ? low : high) = middle;
  }
  entropy_at(high);
  return p;
}

/// How far an entropy may lie from log(perplexity): far below what perplexity's rounding to f32 does to it.
constexpr double kEntropyTolerance = 1e-9;

// An entropy off by e moves log p_j by (h_j - H) e / V, with h_j = -log p_j, H the entropy and V the variance of h.
// Conditional values, their sum and its share of 2 N round to f32 at most 4 times.
std::vector<double> affinity_bounds(const Lists& lists, std::size_t n, double perplexity) {
  const std::size_t k = lists.indices.size() / n;
  std::vector<double> bounds(n * n);
  for (std::size_t i = 0; i < n; ++i) {
    const auto p = conditional(&lists.distances[i * k], k, perplexity);
    double entropy = 0, variance = 0;
    for (const double value : p) entropy -= value > 0 ? value * std::log(value) : 0;
    for (const double value : p) variance += value > 0 ? value * std::pow(-std::log(value) - entropy, 2) : 0;
    for (std::size_t j = 0; j < k; ++j) {
      if (p[j] == 0) continue;
      const double moved = std::abs(-std::log(p[j]) - entropy) * 2 * kEntropyTolerance / variance;
      const double bound = p[j] / (2 * static_cast<double>(n)) * (moved + 4 * kUnitF32);
      const auto other = static_cast<std::size_t>(lists.indices[i * k + j]);
      bounds[i * n + other] += bound;
      bounds[other * n + i] += bound;
    }
  }
  for (double& bound : bounds) bound += 0x1p-149;  // an f32 below the normal range
  return bounds;
}

std::vector<double> dense(const SparseMatrix& matrix) {
  const std::size_t n = matrix.rows();
  const auto offsets = matrix.row_offsets.vector<std::int64_t>();
  const auto columns = matrix.columns.vector<std::int32_t>();
  const auto values = matrix.values.vector<float>();
  std::vector<double> full(n * n);
  for (std::size_t i = 0; i < n; ++i)
    for (auto e = static_cast<std::size_t>(offsets[i]); e < static_cast<std::size_t>(offsets[i + 1]); ++e)
      full[i * n + static_cast<std::size_t>(columns[e])] = values[e];
  return full;
}

// ---- t-SNE

/// A map with affinities that have nothing to do with it, so that every force is there.
struct MapProblem {
  std::size_t n, dimensions;
  SparseMatrix affinities;
  std::vector<float> positions;

  MapProblem(ValidationRun& run, std::size_t points, std::size_t axes, double deviation)
      : n(points), dimensions(axes), positions(run.normal(points * axes, 0, deviation)) {
    const std::size_t k = std::min<std::size_t>(n - 1, 20), d = 5;
    const auto cloud = run.normal(n * d);
    const Lists lists = nearest(run.reference, cloud, n, k, Metric::euclidean);
    affinities =
        run.reference.affinities({.indices = {lists.indices.data(), n, k, k},
                                  .distances = {lists.distances.data(), n, k, k},
                                  .perplexity = std::min(static_cast<float>(k), 1 + static_cast<float>(k) / 4)});
  }

  std::unique_ptr<TsnePlan> plan(Engine& engine, Repulsion repulsion) const {
    return engine.plan_tsne({.affinities = &affinities, .dimensions = dimensions, .repulsion = repulsion});
  }

  std::vector<float> gradient(Engine& engine, Repulsion repulsion, float exaggeration) const {
    std::vector<float> found(positions.size());
    const auto made = plan(engine, repulsion);
    engine.tsne_gradient({.plan = made.get(),
                          .positions = {positions.data(), n, dimensions, dimensions},
                          .exaggeration = exaggeration,
                          .gradient = {found.data(), n, dimensions, dimensions}});
    return found;
  }

  double difference(std::size_t i, std::size_t j, std::size_t axis) const {
    return double(positions[i * dimensions + axis]) - positions[j * dimensions + axis];
  }
  double q(std::size_t i, std::size_t j) const {
    double s = 1;
    for (std::size_t axis = 0; axis < dimensions; ++axis) s += std::pow(difference(i, j, axis), 2);
    return 1 / s;
  }

  // u = 2^-24. Each term p q (y_i - y_j) or q^2 (y_i - y_j) rounds at most 15 times; a point's terms are summed in
  // chains no longer than their number, and the sums over lanes and slots add 16 roundings. Z's q round at most 6 times
  // and are summed in f32 in chains of at most 4 * 256, beyond that in double.
  std::vector<double> gradient_bounds(double exaggeration) const {
    const auto p = dense(affinities);
    double z = 0;
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j) z += i == j ? 0 : q(i, j);
    const double points = static_cast<double>(n), z_roundings = std::min(4 * points, 1024.0) + 6;
    std::vector<double> bounds(n * dimensions);
    for (std::size_t i = 0; i < n; ++i) {
      const auto entries =
          static_cast<double>(std::count_if(&p[i * n], &p[i * n] + n, [](double value) { return value > 0; }));
      for (std::size_t axis = 0; axis < dimensions; ++axis) {
        double pushed = 0, pulled = 0;
        for (std::size_t j = 0; j < n; ++j) {
          pushed += q(i, j) * q(i, j) * std::abs(difference(i, j, axis)) / z;
          pulled += exaggeration * p[i * n + j] * q(i, j) * std::abs(difference(i, j, axis));
        }
        bounds[i * dimensions + axis] = kUnitF32 * ((points + 34 + z_roundings) * pushed + (entries + 34) * pulled);
      }
    }
    return bounds;
  }
};

double root_of_squares(const std::vector<float>& values) {
  double squares = 0;
  for (const float value : values) squares += double(value) * value;
  return std::sqrt(squares);
}

}  // namespace

void validate_neighbors(ValidationRun& run) {
  for (const auto metric : {Metric::euclidean, Metric::cosine})
    for (const auto& [n, k] : {std::pair<std::size_t, std::size_t>{2, 1}, {65, 17}, {500, 90}})
      for (const std::size_t d : {2, 50, 129}) {
        run.start(fmt::format("N {}, d {}, k {}, {}", n, d, k, metric == Metric::cosine ? "cosine" : "Euclidean"));
        const auto points = run.normal(n * d);
        const Lists got = nearest(run.engine, points, n, k, metric),
                    want = nearest(run.reference, points, n, k, metric);
        for (std::size_t i = 0; i < n * k; ++i) {
          const double bound = distance_bound(want.distances[i], d, metric);
          const auto row = static_cast<std::size_t>(got.indices[i]);
          run.add(got.distances[i], want.distances[i], 2 * bound);
          run.add(got.distances[i], distance(&points[i / k * d], &points[row * d], d, metric), 2 * bound);
        }
      }
}

void validate_affinities(ValidationRun& run) {
  for (const auto& [n, k] : {std::pair<std::size_t, std::size_t>{4, 3}, {65, 31}, {300, 90}})
    for (const double share : {0.34, 0.6}) {
      const double perplexity = std::max(1.5, share * static_cast<double>(k));
      run.start(fmt::format("N {}, k {}, perplexity {:.1f}", n, k, perplexity));
      const Lists lists = nearest(run.reference, run.normal(n * 10), n, k, Metric::euclidean);
      const auto calibrate = [&, points = n, neighbors = k](Engine& engine) {
        return dense(engine.affinities({.indices = {lists.indices.data(), points, neighbors, neighbors},
                                        .distances = {lists.distances.data(), points, neighbors, neighbors},
                                        .perplexity = static_cast<float>(perplexity)}));
      };
      const auto got = calibrate(run.engine), want = calibrate(run.reference);
      const auto bounds = affinity_bounds(lists, n, static_cast<float>(perplexity));
      for (std::size_t i = 0; i < n * n; ++i) run.add(got[i], want[i], bounds[i]);
    }
}

// u = 2^-24 in the result alone where the work is in double; an engine that works in f32 rounds d + 4 times in the
// exponent norm^2 / 2 sigma^2 and 4 units in the exponential, the sum over all pairs and the quotient once each.
void validate_global_affinities(ValidationRun& run) {
  for (const std::size_t n : {2, 65, 300})
    for (const std::size_t d : {2, 31})
      for (const float sigma : {0.5f, 3.0f}) {
        run.start(fmt::format("N {}, d {}, sigma {}", n, d, sigma));
        const auto points = run.normal(n * d);
        const auto weigh = [&](Engine& engine) {
          return dense(engine.global_affinities({.points = {points.data(), n, d, d}, .sigma = sigma}));
        };
        const auto got = weigh(run.engine), want = weigh(run.reference);
        for (std::size_t i = 0; i < n * n; ++i) {
          const double apart = distance(&points[i / n * d], &points[i % n * d], d, Metric::euclidean);
          const double exponent = apart * apart / (2 * double(sigma) * sigma);
          const double roundings = (static_cast<double>(d) + 4) * exponent + 8;
          run.add(got[i], want[i], 2 * kUnitF32 * roundings * want[i] + 0x1p-149);
        }
      }
}

// The exact repulsion element by element; the grid's against what it promises: a relative error of the forces of at
// most 5e-3, by their root mean square.
void validate_tsne_gradient(ValidationRun& run) {
  for (const std::size_t dimensions : {2, 3}) {
    for (const std::size_t n : {2, 17, 129, 500})
      for (const double deviation : {1e-4, 1.0, 30.0}) {
        run.start(fmt::format("N {}, {} dimensions, map {} wide, exact", n, dimensions, deviation));
        const MapProblem problem(run, n, dimensions, deviation);
        const auto got = problem.gradient(run.engine, Repulsion::exact, 12);
        const auto want = problem.gradient(run.reference, Repulsion::exact, 12);
        const auto bounds = problem.gradient_bounds(12);
        for (std::size_t i = 0; i < got.size(); ++i) run.add(got[i], want[i], bounds[i]);
      }
    for (const double deviation : {1.0, dimensions == 2 ? 20.0 : 4.0}) {  // as wide as maps of 2,000 points become
      run.start(fmt::format("N 2000, {} dimensions, map {} wide, grid", dimensions, deviation));
      const MapProblem problem(run, 2000, dimensions, deviation);
      auto errors = problem.gradient(run.engine, Repulsion::grid, 0);  // no attraction: the repulsion alone
      const auto want = problem.gradient(run.reference, Repulsion::exact, 0);
      for (std::size_t i = 0; i < errors.size(); ++i) errors[i] -= want[i];
      run.add(root_of_squares(errors), 0, 5e-3 * root_of_squares(want));
    }
  }
}

// One step from rest: a gain rounds twice, an update is the gradient's error times rate and gain and three roundings; a
// position takes its update's error and the largest of them through the mean, and rounds three times.
void validate_tsne_step(ValidationRun& run) {
  for (const std::size_t dimensions : {2, 3})
    for (const std::size_t n : {2, 17, 129, 500}) {
      run.start(fmt::format("N {}, {} dimensions", n, dimensions));
      const MapProblem problem(run, n, dimensions, 1);
      const float rate = static_cast<float>(n) / 12;
      struct State {
        std::vector<float> positions, update, gains;
      };
      const auto step = [&](Engine& engine) {
        State state{problem.positions, std::vector<float>(n * dimensions), std::vector<float>(n * dimensions, 1.0f)};
        const auto plan = problem.plan(engine, Repulsion::exact);
        const auto view = [&](std::vector<float>& values) {
          return MatrixView<float>{values.data(), n, dimensions, dimensions};
        };
        engine.tsne_step({.plan = plan.get(),
                          .positions = view(state.positions),
                          .update = view(state.update),
                          .gains = view(state.gains),
                          .exaggeration = 12,
                          .learning_rate = rate});
        return state;
      };
      const State got = step(run.engine), want = step(run.reference);
      const auto bounds = problem.gradient_bounds(12);
      double largest = 0;
      const auto update_bound = [&](std::size_t i) {
        return 1.2 * rate * bounds[i] + 4 * kUnitF32 * std::abs(double(want.update[i]));
      };
      for (std::size_t i = 0; i < bounds.size(); ++i) largest = std::max(largest, update_bound(i));
      for (std::size_t i = 0; i < bounds.size(); ++i) {
        run.add(got.gains[i], want.gains[i], 4 * kUnitF32 * want.gains[i]);
        run.add(got.update[i], want.update[i], update_bound(i));
        run.add(got.positions[i], want.positions[i],
                update_bound(i) + largest + 4 * kUnitF32 * (std::abs(double(want.positions[i])) + 1));
      }
    }
}

// KL = sum p (log p + log s) + log Z in double, u = 2^-53. Z adds n^2 positive terms of relative error at most 12 u, in
// chains no longer than n^2; the logarithms of p and s err by 1 u each, their arguments by less than 8 u; the sum over
// the entries is a chain of as many terms.
void validate_tsne_kl(ValidationRun& run) {
  for (const std::size_t dimensions : {2, 3})
    for (const std::size_t n : {2, 17, 129, 500})
      for (const double deviation : {1e-4, 1.0, 30.0}) {
        run.start(fmt::format("N {}, {} dimensions, map {} wide", n, dimensions, deviation));
        const MapProblem problem(run, n, dimensions, deviation);
        const auto divergence = [&](Engine& engine) {
          return engine.tsne_kl(
              {.affinities = &problem.affinities, .positions = {problem.positions.data(), n, dimensions, dimensions}});
        };
        const double got = divergence(run.engine), want = divergence(run.reference);
        const auto values = problem.affinities.values.vector<float>();
        double terms = 0;
        for (std::size_t e = 0; e < values.size; ++e)
          if (values[e] > 0) terms += values[e] * (std::abs(std::log(values[e])) + 80);  // s stays below e^80
        const auto pairs = static_cast<double>(n * n), entries = static_cast<double>(values.size);
        run.add(got, want, kUnitF64 * ((pairs + 12) + (entries + 20) * terms + 8 * std::abs(want)));
      }
}

}  // namespace lexiscope
