// The operations on the cloud of an embedding against the reference. Most work in double: u = 2^-53 unless said
// otherwise, and both engines err by it, hence the factors of 2.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "host/analysis/validation_run.h"

namespace lexiscope {
namespace {

double dot(const double* a, const double* b, std::size_t n) {
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

struct Moments {
  std::vector<double> mean, covariance;
};

// A mean of n values is off by e = n u mean|x|. About m + e, a covariance is larger by e_a e_b; deviation, product, sum
// and division round n + 4 times, relative to the mean of |x_a - m_a| |x_b - m_b|.
void compare_moments(ValidationRun& run, const std::vector<float>& x, std::size_t n, std::size_t d, bool centered) {
  const auto moments = [&](Engine& engine) {
    Moments found{std::vector<double>(d), std::vector<double>(d * d)};
    engine.covariance({.x = {x.data(), n, d, d},
                       .centered = centered,
                       .mean = {found.mean.data(), d},
                       .covariance = {found.covariance.data(), d, d, d}});
    return found;
  };
  const Moments got = moments(run.engine), want = moments(run.reference);
  const auto count = static_cast<double>(n);
  std::vector<double> mean_error(d), magnitudes(n * d);
  for (std::size_t i = 0; i < n * d; ++i) mean_error[i % d] += kUnitF64 * std::abs(x[i]) * (count + 1) / count;
  for (std::size_t i = 0; i < n * d; ++i)
    magnitudes[i] = centered ? std::abs(x[i] - want.mean[i % d]) + 2 * mean_error[i % d] : std::abs(x[i]);
  for (std::size_t a = 0; a < d; ++a) {
    run.add(got.mean[a], want.mean[a], 2 * mean_error[a]);
    for (std::size_t b = 0; b < d; ++b) {
      double terms = 0;
      for (std::size_t i = 0; i < n; ++i) terms += magnitudes[i * d + a] * magnitudes[i * d + b];
      run.add(got.covariance[a * d + b], want.covariance[a * d + b],
              2 * ((count + 4) * kUnitF64 * terms / count + mean_error[a] * mean_error[b]));
    }
  }
}

/// x^T x / n of n rows.
std::vector<double> second_moment(const std::vector<float>& x, std::size_t n, std::size_t d) {
  std::vector<double> moment(d * d);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t a = 0; a < d; ++a)
      for (std::size_t b = 0; b < d; ++b) moment[a * d + b] += double(x[i * d + a]) * x[i * d + b] / double(n);
  return moment;
}

struct Eigenpairs {
  std::vector<double> values, vectors;
};

Eigenpairs decompose(Engine& engine, const std::vector<double>& matrix, std::size_t d, std::size_t k) {
  Eigenpairs found{std::vector<double>(d), std::vector<double>(k * d)};
  engine.eigendecomposition({.matrix = {matrix.data(), d, d, d},
                             .eigenvalues = {found.values.data(), d},
                             .eigenvectors = {found.vectors.data(), k, d, d}});
  return found;
}

}  // namespace

void validate_covariance(ValidationRun& run) {
  for (const bool centered : {true, false})
    for (const std::size_t n : {1, 3, 65, 500})
      for (const std::size_t d : {1, 17, 65, 129}) {
        run.start(fmt::format("N {}, d {}, {}", n, d, centered ? "centered" : "uncentered"));
        compare_moments(run, run.normal(n * d, 3), n, d, centered);
      }
}

// d reflections of length d compute the eigenpairs of a matrix that differs by c d^2 u norm(S) (Higham, Accuracy and
// Stability, lemma 19.3), c = 8 for both sides and the products: it bounds the eigenvalues' errors (Weyl) and the
// residuals norm(S v - lambda v); without norm(S), the loss of orthogonality.
void validate_eigendecomposition(ValidationRun& run) {
  for (const std::size_t d : {1, 2, 17, 65, 129})
    for (const std::size_t n : {d / 3 + 1, 2 * d + 3}) {
      const std::size_t k = std::min<std::size_t>(d, 33);
      run.start(fmt::format("d {}, k {}, rank {}", d, k, std::min(n, d)));
      const auto matrix = second_moment(run.normal(n * d), n, d);
      const Eigenpairs got = decompose(run.engine, matrix, d, k), want = decompose(run.reference, matrix, d, k);
      const double relative = 8 * (static_cast<double>(d * d) + 2) * kUnitF64;
      const double norm = std::sqrt(dot(matrix.data(), matrix.data(), d * d));
      for (std::size_t j = 0; j < d; ++j) run.add(got.values[j], want.values[j], 2 * relative * norm);
      for (std::size_t j = 0; j < k; ++j) {
        const double* v = &got.vectors[j * d];
        double squares = 0;
        for (std::size_t a = 0; a < d; ++a) squares += std::pow(dot(&matrix[a * d], v, d) - got.values[j] * v[a], 2);
        run.add(std::sqrt(squares), 0, relative * norm);
        for (std::size_t i = 0; i <= j; ++i) run.add(dot(v, &got.vectors[i * d], d), i == j, relative);
      }
    }
}

// Centring, product and a sum of d: d + 1 roundings relative to the sum of |x - mean| |component|, and one to f32.
void validate_projection(ValidationRun& run) {
  for (const std::size_t n : {1, 33, 500})
    for (const std::size_t d : {1, 31, 129, 384})
      for (const std::size_t k : {1, 9, 50}) {
        run.start(fmt::format("N {}, d {}, k {}", n, d, k));
        const auto x = run.normal(n * d, 100), mean_values = run.normal(d, 100), values = run.normal(k * d);
        const std::vector<double> mean(mean_values.begin(), mean_values.end());
        const std::vector<double> components(values.begin(), values.end());
        const auto project = [&](Engine& engine) {
          std::vector<float> scores(n * k);
          engine.projection({.x = {x.data(), n, d, d},
                             .mean = {mean.data(), d},
                             .components = {components.data(), k, d, d},
                             .scores = {scores.data(), n, k, k}});
          return scores;
        };
        const auto got = project(run.engine), want = project(run.reference);
        for (std::size_t i = 0; i < n; ++i)
          for (std::size_t j = 0; j < k; ++j) {
            double terms = 0;
            for (std::size_t a = 0; a < d; ++a) terms += std::abs((x[i * d + a] - mean[a]) * components[j * d + a]);
            const double score = want[i * k + j];
            run.add(got[i * k + j], score,
                    2 * (static_cast<double>(d + 2) * kUnitF64 * terms + kUnitF32 * std::abs(score)));
          }
      }
}

// Norms: half the d + 1 roundings of a square, its root, and one to f32. Their mean adds n. The norm of the mean is off
// by the norm of its components' errors, n + 1 roundings of mean|x|. The mean cosine in closed form: component a of the
// sum of unit rows is off by n + d / 2 + 5 times the sum U_a of its magnitudes, its square by twice that times U_a;
// squares and the subtraction round d + 3 times; over all pairs, their cosines and their sum round pairs / 2 + 2 d + 4
// times. log Z moves by its exponents' error, d + 4 roundings of the largest sum of magnitudes, and by n + 8 +
// 2 log n; isotropy is the exponential of a difference of two, on two engines.
void validate_cosine_statistics(ValidationRun& run) {
  for (const std::size_t n : {1, 17, 500})
    for (const std::size_t d : {2, 31, 65}) {
      run.start(fmt::format("N {}, d {}", n, d));
      const auto x = run.normal(n * d, 0.3);
      const auto directions = decompose(run.reference, second_moment(x, n, d), d, d).vectors;
      std::vector<float> got_norms(n), want_norms(n);
      const auto describe = [&](Engine& engine, std::vector<float>& norms) {
        return engine.cosine_statistics(
            {.x = {x.data(), n, d, d}, .directions = {directions.data(), d, d, d}, .norms = {norms.data(), n}});
      };
      const CosineStatistics got = describe(run.engine, got_norms), want = describe(run.reference, want_norms);
      const auto count = static_cast<double>(n), width = static_cast<double>(d);
      std::vector<double> mean(d), unit(d);
      double exponent = 0;
      for (std::size_t i = 0; i < n; ++i) {
        double squares = 0;
        for (std::size_t a = 0; a < d; ++a) squares += std::pow(x[i * d + a], 2);
        for (std::size_t a = 0; a < d; ++a) {
          mean[a] += std::abs(x[i * d + a]) / count;
          unit[a] += std::abs(x[i * d + a]) / std::sqrt(squares);
        }
        for (std::size_t j = 0; j < d; ++j) {
          double terms = 0;
          for (std::size_t a = 0; a < d; ++a) terms += std::abs(x[i * d + a] * directions[j * d + a]);
          exponent = std::max(exponent, terms);
        }
        run.add(got_norms[i], want_norms[i], 2 * ((width / 2 + 2) * kUnitF64 + kUnitF32) * want_norms[i]);
      }
      run.add(got.mean_norm, want.mean_norm, 2 * (width / 2 + 3 + count) * kUnitF64 * want.mean_norm);
      run.add(
          got.norm_of_mean, want.norm_of_mean,
          2 * kUnitF64 * ((count + 1) * std::sqrt(dot(mean.data(), mean.data(), d)) + (width + 2) * want.norm_of_mean));
      const double error = (count + width / 2 + 5) * kUnitF64, pairs = count * (count - 1);
      const double closed =
          dot(unit.data(), unit.data(), d) * (2 * error + error * error + (width + 3) * kUnitF64) + count * kUnitF64;
      run.add(got.mean_cosine, want.mean_cosine,
              pairs > 0 ? closed / pairs + (pairs / 2 + 2 * width + 4) * kUnitF64 : 0);
      run.add(got.isotropy, want.isotropy,
              4 * ((width + 4) * exponent + count + 8 + 2 * std::log(count)) * kUnitF64 * want.isotropy);
    }
}

}  // namespace lexiscope
