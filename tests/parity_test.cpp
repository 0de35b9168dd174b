// Every engine, the reference too, against what scikit-learn and openTSNE give for the same points: tests/data, made by
// scripts/goldens.sh. Bounds are derived at each comparison; the goldens are in double, so their own error is far
// below.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "host/io/npy.h"
#include "lexiscope/engine.h"
#include "tests/support/compare.h"
#include "tests/support/engines.h"

namespace lexiscope::testing {
namespace {

constexpr std::size_t kPoints = 200, kDimensions = 17;

template <typename Element>
std::vector<Element> golden(const std::string& name) {
  const NpyArray array = read_npy(std::string(LEXISCOPE_TEST_DATA) + "/" + name + ".npy");
  const Element* values = array.values<Element>(array.shape.size());
  return {values, values + array.data.size() / sizeof(Element)};
}

std::vector<float> to_f32(const std::vector<double>& values) { return {values.begin(), values.end()}; }

MatrixView<const float> points_view(const std::vector<float>& points) {
  return {points.data(), kPoints, kDimensions, kDimensions};
}

double sum_of_squares(const double* row, std::size_t n) {
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += row[i] * row[i];
  return sum;
}

class Parity : public ::testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Engine> engine_ = make_test_engine(GetParam(), 2);

  // An engine's tensor with these values; engines under test have the host's memory.
  template <typename Element>
  Tensor tensor(const std::vector<Element>& values) {
    Tensor made = engine_->allocate(dtype_of<Element>(), {values.size()});
    std::memcpy(made.view().data, values.data(), values.size() * sizeof(Element));
    return made;
  }

  SparseMatrix golden_affinities() {
    return {.row_offsets = tensor(golden<std::int64_t>("affinities_offsets")),
            .columns = tensor(golden<std::int32_t>("affinities_columns")),
            .values = tensor(to_f32(golden<double>("affinities_values")))};
  }
};

struct Components {
  std::vector<double> mean, eigenvalues, vectors;
  double covariance_error = 0;  // a bound on the covariance's error, as a matrix norm
};

// Covariance: n + 4 roundings relative to |x_a - m_a| |x_b - m_b|, whose mean is at most sqrt(C_aa C_bb); over all
// entries that is at most (n + 4) u trace(C) in the Frobenius norm. The mean's own error and the eigensolver's (a small
// multiple of d u lambda_1) are covered by doubling, and scikit-learn's decomposition errs by as much again.
Components principal_components(Engine& engine, const std::vector<float>& points, bool centered) {
  Components found{.mean = std::vector<double>(kDimensions),
                   .eigenvalues = std::vector<double>(kDimensions),
                   .vectors = std::vector<double>(kDimensions * kDimensions)};
  std::vector<double> covariance(kDimensions * kDimensions);
  engine.covariance({.x = points_view(points),
                     .centered = centered,
                     .mean = {found.mean.data(), kDimensions},
                     .covariance = {covariance.data(), kDimensions, kDimensions, kDimensions}});
  engine.eigendecomposition({.matrix = {covariance.data(), kDimensions, kDimensions, kDimensions},
                             .eigenvalues = {found.eigenvalues.data(), kDimensions},
                             .eigenvectors = {found.vectors.data(), kDimensions, kDimensions, kDimensions}});
  double trace = 0;
  for (std::size_t i = 0; i < kDimensions; ++i) trace += covariance[i * (kDimensions + 1)];
  found.covariance_error = 4 * (kPoints + kDimensions) * kUnitF64 * trace;
  return found;
}

// Davis and Kahan: a vector turns by at most the matrix's error over the distance to the next eigenvalue.
double vector_error(const Components& found, std::size_t j) {
  double gap = INFINITY;
  for (std::size_t other : {j - 1, j + 1})
    if (other < kDimensions) gap = std::min(gap, std::abs(found.eigenvalues[j] - found.eigenvalues[other]));
  return 2 * found.covariance_error / gap;
}

void expect_components(const Components& found, const std::vector<double>& eigenvalues,
                       const std::vector<double>& vectors) {
  for (std::size_t j = 0; j < eigenvalues.size(); ++j) {
    EXPECT_NEAR(found.eigenvalues[j], eigenvalues[j], found.covariance_error) << "eigenvalue " << j;
    for (std::size_t i = 0; i < kDimensions; ++i)
      EXPECT_NEAR(found.vectors[j * kDimensions + i], vectors[j * kDimensions + i], vector_error(found, j))
          << "component " << j << ", entry " << i;
  }
}

TEST_P(Parity, CenteredComponentsAreScikitLearns) {
  const auto points = golden<float>("points");
  const auto found = principal_components(*engine_, points, true);
  const auto mean = golden<double>("pca_mean"), scores = golden<double>("pca_scores");
  for (std::size_t i = 0; i < kDimensions; ++i) EXPECT_NEAR(found.mean[i], mean[i], 2 * kPoints * kUnitF64 * 10);
  expect_components(found, golden<double>("pca_eigenvalues"), golden<double>("pca_components"));

  std::vector<float> got(kPoints * kDimensions);
  engine_->projection({.x = points_view(points),
                       .mean = {found.mean.data(), kDimensions},
                       .components = {found.vectors.data(), kDimensions, kDimensions, kDimensions},
                       .scores = {got.data(), kPoints, kDimensions, kDimensions}});
  for (std::size_t i = 0; i < kPoints; ++i) {
    const double length = std::sqrt(sum_of_squares(&scores[i * kDimensions], kDimensions));  // of the centred point
    for (std::size_t j = 0; j < kDimensions; ++j) {
      const double want = scores[i * kDimensions + j];
      EXPECT_NEAR(got[i * kDimensions + j], want,
                  kUnitF32 * std::abs(want) + length * (vector_error(found, j) + (kDimensions + 1) * kUnitF64))
          << "point " << i << ", component " << j;
    }
  }
}

TEST_P(Parity, UncenteredComponentsAreScikitLearns) {
  const auto found = principal_components(*engine_, golden<float>("points"), false);
  expect_components(found, golden<double>("pca_uncentered_eigenvalues"), golden<double>("pca_uncentered_components"));
}

// No two distances of the goldens lie within 1e-6 of each other, so the order is decided; the distance itself is
// rounded once to f32 (u), and a second u covers what precedes it in double and, for 1 - cosine, its cancellation.
void expect_neighbors(Engine& engine, Metric metric, const std::string& name) {
  const auto points = golden<float>("points");
  const auto want_indices = golden<std::int32_t>(name + "_indices");
  const auto want_distances = golden<double>(name + "_distances");
  const std::size_t k = want_indices.size() / kPoints;
  std::vector<std::int32_t> indices(want_indices.size());
  std::vector<float> distances(want_indices.size());
  engine.neighbors({.points = points_view(points),
                    .metric = metric,
                    .indices = {indices.data(), kPoints, k, k},
                    .distances = {distances.data(), kPoints, k, k}});
  EXPECT_EQ(indices, want_indices);
  for (std::size_t at = 0; at < distances.size(); ++at)
    EXPECT_LE(error_share(distances[at], want_distances[at], 2 * kUnitF32 * want_distances[at]), 1.0)
        << "point " << at / k << ", neighbour " << at % k;
}

TEST_P(Parity, EuclideanNeighborsAreScikitLearns) { expect_neighbors(*engine_, Metric::euclidean, "euclidean"); }
TEST_P(Parity, CosineNeighborsAreScikitLearns) { expect_neighbors(*engine_, Metric::cosine, "cosine"); }

// Calibrated in double on both sides, so a p_ij is off by its rounding to f32, twice at most (the conditional and the
// joint one), and by what the entropies' tolerance does: d log(p) = z dH / sum of p z^2 with z = -log(p) - H, a factor
// below 30 for these points; openTSNE's dH is at most 1e-8 (of 1e-7 in the perplexity), the engines' 1e-10.
TEST_P(Parity, AffinitiesAreOpenTsnes) {
  constexpr float kPerplexity = 10;
  const auto indices = golden<std::int32_t>("euclidean_indices");
  const auto distances = to_f32(golden<double>("euclidean_distances"));
  const std::size_t k = indices.size() / kPoints;
  const SparseMatrix got = engine_->affinities({.indices = {indices.data(), kPoints, k, k},
                                                .distances = {distances.data(), kPoints, k, k},
                                                .perplexity = kPerplexity});
  const auto offsets = golden<std::int64_t>("affinities_offsets");
  const auto columns = golden<std::int32_t>("affinities_columns");
  const auto values = golden<double>("affinities_values");
  ASSERT_EQ(got.rows(), kPoints);
  ASSERT_EQ(got.entries(), columns.size());
  const auto got_offsets = got.row_offsets.vector<std::int64_t>();
  const auto got_columns = got.columns.vector<std::int32_t>();
  const auto got_values = got.values.vector<float>();
  for (std::size_t row = 0; row <= kPoints; ++row) EXPECT_EQ(got_offsets[row], offsets[row]);
  for (std::size_t at = 0; at < columns.size(); ++at) {
    EXPECT_EQ(got_columns[at], columns[at]) << "entry " << at;
    EXPECT_NEAR(got_values[at], values[at], (2 * kUnitF32 + 30 * 1.01e-8) * values[at]) << "entry " << at;
  }
}

// Sums of at most n terms in f32, in any order, each term rounded about 16 times on the way (difference, squared
// distance, reciprocal or its refined estimate, products): (n + 16) u of the sum of magnitudes.
std::vector<double> gradient_bounds(const SparseMatrix& affinities, const std::vector<float>& positions,
                                    std::size_t dimensions) {
  std::vector<double> attraction(positions.size()), repulsion(positions.size());
  double normalization = 0;
  const auto offsets = affinities.row_offsets.vector<std::int64_t>();
  const auto columns = affinities.columns.vector<std::int32_t>();
  const auto values = affinities.values.vector<float>();
  for (std::size_t i = 0; i < kPoints; ++i) {
    std::vector<double> p(kPoints);
    for (auto at = static_cast<std::size_t>(offsets[i]); at < static_cast<std::size_t>(offsets[i + 1]); ++at)
      p[static_cast<std::size_t>(columns[at])] = values[at];
    for (std::size_t j = 0; j < kPoints; ++j) {
      double squared = 0;
      for (std::size_t c = 0; c < dimensions; ++c)
        squared += std::pow(double(positions[i * dimensions + c]) - positions[j * dimensions + c], 2);
      const double q = 1 / (1 + squared);
      if (i != j) normalization += q;
      for (std::size_t c = 0; c < dimensions; ++c) {
        const double difference = std::abs(double(positions[i * dimensions + c]) - positions[j * dimensions + c]);
        attraction[i * dimensions + c] += p[j] * q * difference;
        repulsion[i * dimensions + c] += q * q * difference;
      }
    }
  }
  std::vector<double> bounds(positions.size());
  for (std::size_t at = 0; at < bounds.size(); ++at)
    bounds[at] = (kPoints + 16) * kUnitF32 * (attraction[at] + repulsion[at] / normalization);
  return bounds;
}

TEST_P(Parity, GradientAndDivergenceAreScikitLearns) {
  const SparseMatrix affinities = golden_affinities();
  const auto want_kl = golden<double>("tsne_kl");
  for (const std::size_t dimensions : {2, 3}) {
    const std::string map = "tsne_" + std::to_string(dimensions) + "d";
    const auto positions = golden<float>(map + "_positions");
    const auto want = golden<double>(map + "_gradient");
    std::vector<float> gradient(positions.size());
    const auto plan =
        engine_->plan_tsne({.affinities = &affinities, .dimensions = dimensions, .repulsion = Repulsion::exact});
    engine_->tsne_gradient({.plan = plan.get(),
                            .positions = {positions.data(), kPoints, dimensions, dimensions},
                            .gradient = {gradient.data(), kPoints, dimensions, dimensions}});
    const auto bounds = gradient_bounds(affinities, positions, dimensions);
    for (std::size_t at = 0; at < want.size(); ++at)
      EXPECT_LE(error_share(gradient[at], want[at], bounds[at]), 1.0) << dimensions << " dimensions, entry " << at;

    // The p_ij are the goldens' rounded to f32: u relative in each, so at most u (1 + sum p |log(p / q)|), in which the
    // sum is below 2 KL + 1; the rest is in double.
    const double kl =
        engine_->tsne_kl({.affinities = &affinities, .positions = {positions.data(), kPoints, dimensions, dimensions}});
    EXPECT_NEAR(kl, want_kl[dimensions - 2], kUnitF32 * (2 * want_kl[dimensions - 2] + 2));
  }
}

INSTANTIATE_TEST_SUITE_P(Engines, Parity, ::testing::ValuesIn(test_engines()),
                         [](const auto& parameter) { return parameter.param; });

}  // namespace
}  // namespace lexiscope::testing
