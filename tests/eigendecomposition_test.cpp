// The eigendecomposition of every engine, the reference too: residuals, orthogonality and order by themselves, and
// eigenvalues and subspaces against the reference, each within a bound derived below.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "lexiscope/engine.h"
#include "tests/support/compare.h"
#include "tests/support/engines.h"
#include "tests/support/errors.h"

namespace lexiscope::testing {
namespace {

struct Eigenpairs {
  std::vector<double> values, vectors;  // [d], [k, d]
};

Eigenpairs decompose(Engine& engine, const std::vector<double>& matrix, std::size_t d, std::size_t k) {
  Eigenpairs out{std::vector<double>(d, -7), std::vector<double>(k * d, -7)};
  engine.eigendecomposition({.matrix = {matrix.data(), d, d, d},
                             .eigenvalues = {out.values.data(), d},
                             .eigenvectors = {out.vectors.data(), k, d, d}});
  return out;
}

// (1/n) X^T X of random rows: of rank n where n < d.
std::vector<double> gram(std::size_t n, std::size_t d) {
  const auto x = random_normal(n * d, static_cast<unsigned>(n * 31 + d));
  std::vector<double> matrix(d * d);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t a = 0; a < d; ++a)
      for (std::size_t b = 0; b < d; ++b)
        matrix[a * d + b] += static_cast<double>(x[i * d + a]) * x[i * d + b] / static_cast<double>(n);
  return matrix;
}

// H diag(values) H with the reflection H = I - 2 v v^T / (v^T v) of a random v: the eigenvalues are known.
std::vector<double> with_spectrum(const std::function<double(std::size_t)>& value, std::size_t d) {
  const auto v = random_normal(d, static_cast<unsigned>(d));
  double squares = 0;
  for (const float component : v) squares += static_cast<double>(component) * component;
  const auto h = [&](std::size_t a, std::size_t b) {
    return (a == b ? 1 : 0) - 2 * static_cast<double>(v[a]) * v[b] / squares;
  };
  std::vector<double> matrix(d * d);
  for (std::size_t a = 0; a < d; ++a)
    for (std::size_t b = 0; b <= a; ++b) {
      for (std::size_t i = 0; i < d; ++i) matrix[a * d + b] += h(a, i) * value(i) * h(b, i);
      matrix[b * d + a] = matrix[a * d + b];
    }
  return matrix;
}

std::vector<double> make_matrix(const std::string& kind, std::size_t d) {
  if (kind == "full_rank") return gram(2 * d + 3, d);
  if (kind == "rank_deficient") return gram(d / 3 + 1, d);
  if (kind == "graded") return with_spectrum([](auto i) { return std::pow(0.7, static_cast<double>(i)); }, d);
  if (kind == "repeated") return with_spectrum([](auto i) { return i < 5 ? 3.0 : (i < 9 ? 2.0 : 1.0); }, d);
  if (kind == "identity") return with_spectrum([](auto) { return 1.0; }, d);
  return std::vector<double>(d * d);
}

// Orthogonal transformations in floating point compute those of a matrix that differs by at most c d^2 u norm(S)_F
// (Higham, Accuracy and Stability, lemma 19.3: a sequence of d reflections of length d; Jacobi's sweeps and divide and
// conquer stay within it), c = 8 for both sides and the products. It bounds the error of every eigenvalue (Weyl), the
// residual norm(S v - lambda v), and, without norm(S), the loss of orthogonality.
double relative_error(std::size_t d) {
  const auto size = static_cast<double>(d);
  return 8 * (size * size + 2) * kUnitF64;
}

double frobenius_norm(const std::vector<double>& matrix) {
  double squares = 0;
  for (const double value : matrix) squares += value * value;
  return std::sqrt(squares);
}

double dot(const double* a, const double* b, std::size_t d) {
  double sum = 0;
  for (std::size_t i = 0; i < d; ++i) sum += a[i] * b[i];
  return sum;
}

// The largest error of the pairs by themselves, as a share of its bound.
double worst_share(const std::vector<double>& matrix, std::size_t d, const Eigenpairs& got) {
  const std::size_t k = got.vectors.size() / d;
  const double bound = relative_error(d), norm = frobenius_norm(matrix);
  double worst = 0;
  for (std::size_t j = 0; j < k; ++j) {
    const double* v = &got.vectors[j * d];
    double squares = 0;
    for (std::size_t a = 0; a < d; ++a) {
      const double residual = dot(&matrix[a * d], v, d) - got.values[j] * v[a];
      squares += residual * residual;
    }
    worst = std::max(worst, error_share(std::sqrt(squares), 0, bound * norm));
    for (std::size_t i = 0; i <= j; ++i)
      worst = std::max(worst, error_share(dot(v, &got.vectors[i * d], d), i == j ? 1 : 0, bound));
  }
  return worst;
}

double worst_value_share(const std::vector<double>& matrix, const Eigenpairs& got, const Eigenpairs& want) {
  const double bound = 2 * relative_error(want.values.size()) * frobenius_norm(matrix);
  double worst = 0;
  for (std::size_t j = 0; j < want.values.size(); ++j)
    worst = std::max(worst, error_share(got.values[j], want.values[j], bound));
  return worst;
}

// By how much the span of the first k vectors leaves the reference's: the sine of the largest angle is at most
// 2 norm(E) / gap with the gap behind the k-th eigenvalue (Davis and Kahan); it is at most the root of what the
// projections onto the reference's span lose.
double subspace_share(const std::vector<double>& matrix, const Eigenpairs& got, const Eigenpairs& want, std::size_t k) {
  const std::size_t d = want.values.size();
  double worst = 0;
  for (std::size_t j = 0; j < k; ++j) {
    std::vector<double> outside(&got.vectors[j * d], &got.vectors[j * d] + d);
    for (std::size_t i = 0; i < k; ++i) {
      const double along = dot(&want.vectors[i * d], &got.vectors[j * d], d);
      for (std::size_t a = 0; a < d; ++a) outside[a] -= along * want.vectors[i * d + a];
    }
    worst = std::max(worst, std::sqrt(dot(outside.data(), outside.data(), d)));
  }
  const double gap = k < d ? want.values[k - 1] - want.values[k] : std::numeric_limits<double>::infinity();
  const double bound = 4 * relative_error(d) * (frobenius_norm(matrix) / gap + 1);
  return bound < 0.1 ? worst / bound : 0;  // the next eigenvalue is as good as the same: no subspace to compare
}

void expect_order_and_signs(const Eigenpairs& got) {
  const std::size_t d = got.values.size();
  for (std::size_t j = 1; j < d; ++j) ASSERT_LE(got.values[j], got.values[j - 1]);
  ASSERT_GE(got.values.back(), 0);
  for (std::size_t j = 0; j * d < got.vectors.size(); ++j) {
    const auto first = got.vectors.begin() + static_cast<std::ptrdiff_t>(j * d);
    const auto largest = std::max_element(first, first + static_cast<std::ptrdiff_t>(d),
                                          [](double a, double b) { return std::abs(a) < std::abs(b); });
    ASSERT_GT(*largest, 0) << "vector " << j;
  }
}

class Eigendecomposition : public ::testing::TestWithParam<std::tuple<std::string, std::string, std::size_t>> {};

TEST_P(Eigendecomposition, SolvesAndAgreesWithTheReference) {
  const auto [engine, kind, d] = GetParam();
  const auto matrix = make_matrix(kind, d);
  const Eigenpairs want = decompose(*make_engine("reference"), matrix, d, d);
  const Eigenpairs got = decompose(*make_test_engine(engine), matrix, d, d);
  expect_order_and_signs(got);
  EXPECT_LE(worst_share(matrix, d, got), 1.0);
  EXPECT_LE(worst_value_share(matrix, got, want), 1.0);
  for (const std::size_t k : {std::size_t{1}, d / 3, d / 2, d, std::size_t{5}, std::size_t{9}})
    if (k > 0 && k <= d) {
      EXPECT_LE(subspace_share(matrix, got, want, k), 1.0) << k;
    }
}

INSTANTIATE_TEST_SUITE_P(OddShapes, Eigendecomposition,
                         ::testing::Combine(::testing::ValuesIn(test_engines()),
                                            ::testing::Values("full_rank", "rank_deficient", "graded", "repeated",
                                                              "identity", "zero"),
                                            ::testing::Values(1, 2, 3, 17, 31, 33, 63, 65, 129)),
                         EngineNames());

class EigendecompositionOnEngine : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Engines, EigendecompositionOnEngine, ::testing::ValuesIn(test_engines()), EngineNames());

TEST_P(EigendecompositionOnEngine, FindsKnownEigenvalues) {
  const std::size_t d = 33;
  const auto value = [](std::size_t i) { return i < 5 ? 3.0 : (i < 9 ? 2.0 : 1.0); };
  const auto matrix = with_spectrum(value, d);
  const Eigenpairs got = decompose(*make_test_engine(GetParam()), matrix, d, 0);
  for (std::size_t j = 0; j < d; ++j) EXPECT_NEAR(got.values[j], value(j), 2 * relative_error(d) * std::sqrt(85.0));
}

TEST_P(EigendecompositionOnEngine, GivesTheFirstOfItsVectorsForFewerComponents) {
  const std::size_t d = 65;
  const auto matrix = make_matrix("graded", d);
  const auto engine = make_test_engine(GetParam());
  const Eigenpairs all = decompose(*engine, matrix, d, d);
  for (const std::size_t k : {0, 1, 7, 64}) {
    const Eigenpairs some = decompose(*engine, matrix, d, k);
    EXPECT_EQ(some.values, all.values);
    expect_order_and_signs(some);
    EXPECT_LE(worst_share(matrix, d, some), 1.0);
  }
}

TEST_P(EigendecompositionOnEngine, ReadsOnlyTheLowerTriangle) {
  const std::size_t d = 33, stride = 40;
  const auto matrix = make_matrix("full_rank", d);
  std::vector<double> lower(d * stride, std::numeric_limits<double>::quiet_NaN());
  for (std::size_t i = 0; i < d; ++i) std::copy_n(&matrix[i * d], i + 1, &lower[i * stride]);
  const auto engine = make_test_engine(GetParam());
  const Eigenpairs want = decompose(*engine, matrix, d, 3);
  Eigenpairs got{std::vector<double>(d), std::vector<double>(3 * stride)};
  engine->eigendecomposition({.matrix = {lower.data(), d, d, stride},
                              .eigenvalues = {got.values.data(), d},
                              .eigenvectors = {got.vectors.data(), 3, d, stride}});
  EXPECT_EQ(got.values, want.values);
  for (std::size_t j = 0; j < 3; ++j)
    for (std::size_t a = 0; a < d; ++a) EXPECT_EQ(got.vectors[j * stride + a], want.vectors[j * d + a]);
}

// Of components that tie to the bit, the first becomes positive: the vectors of a 2 x 2 matrix with equal diagonal
// are (1, 1) and (1, -1), which rotations and reflections by 45 degrees give without rounding apart.
TEST_P(EigendecompositionOnEngine, GivesTheFirstOfTiedComponentsThePositiveSign) {
  for (const double beside : {0.5, -0.5}) {
    const Eigenpairs got = decompose(*make_test_engine(GetParam()), {1, beside, beside, 1}, 2, 2);
    EXPECT_NEAR(got.values[0], 1.5, 1e-15);
    EXPECT_NEAR(got.values[1], 0.5, 1e-15);
    for (std::size_t j = 0; j < 2; ++j) {
      EXPECT_EQ(std::abs(got.vectors[2 * j]), std::abs(got.vectors[2 * j + 1]));
      EXPECT_GT(got.vectors[2 * j], 0);
    }
  }
}

TEST_P(EigendecompositionOnEngine, ClampsAtZero) {
  const Eigenpairs got = decompose(*make_test_engine(GetParam()), {4, 0, 0, -1e-18}, 2, 1);
  EXPECT_EQ(got.values, (std::vector<double>{4, 0}));
  EXPECT_EQ(got.vectors, (std::vector<double>{1, 0}));
}

TEST_P(EigendecompositionOnEngine, GivesTheSameBitsForAnyThreads) {
  const auto matrix = make_matrix("full_rank", 129);
  const Eigenpairs once = decompose(*make_test_engine(GetParam(), 1), matrix, 129, 50);
  for (const int threads : {2, 3}) {
    const Eigenpairs again = decompose(*make_test_engine(GetParam(), threads), matrix, 129, 50);
    EXPECT_EQ(again.values, once.values);
    EXPECT_EQ(again.vectors, once.vectors);
  }
}

TEST(EigendecompositionComparison, SeesAPlantedFault) {
  const std::size_t d = 65;
  const auto matrix = make_matrix("full_rank", d);
  const Eigenpairs want = decompose(*make_engine("reference"), matrix, d, d);
  const Eigenpairs right = decompose(*make_engine("cpu"), matrix, d, d);
  ASSERT_LE(worst_share(matrix, d, right), 1.0);
  Eigenpairs got = right;
  got.vectors[64 * d + 7] += 1e-9;
  EXPECT_GT(worst_share(matrix, d, got), 1.0);
  got = right;
  got.values[40] *= 1 + 1e-9;
  EXPECT_GT(worst_value_share(matrix, got, want), 1.0);
  got = right;  // a pair out of its place
  std::swap_ranges(got.vectors.begin(), got.vectors.begin() + 65, got.vectors.begin() + 10 * 65);
  EXPECT_GT(subspace_share(matrix, got, want, 5), 1.0);
}

std::string complaint(const EigendecompositionArgs& args) {
  return message_of([&] { make_engine("cpu")->eigendecomposition(args); });
}

TEST(EigendecompositionArguments, NameTheValueThatIsWrong) {
  std::vector<double> matrix{2, 0, 1, 2}, values(2), vectors(6);
  const EigendecompositionArgs good{
      .matrix = {matrix.data(), 2, 2, 2}, .eigenvalues = {values.data(), 2}, .eigenvectors = {vectors.data(), 2, 2, 2}};
  EXPECT_EQ(complaint(good), "no error");
  EigendecompositionArgs args = good;
  args.matrix.columns = 1;
  EXPECT_EQ(complaint(args), "eigendecomposition: matrix is [2, 1], needs to be square and not empty");
  args = good;
  args.eigenvalues.size = 1;
  EXPECT_EQ(complaint(args), "eigendecomposition: eigenvalues has 1 elements, matrix has 2 rows");
  args = good;
  args.eigenvectors.rows = 3;
  EXPECT_EQ(complaint(args), "eigendecomposition: eigenvectors has 3 rows, needs at most 2");
  args = good;
  args.eigenvectors.columns = 1;
  EXPECT_EQ(complaint(args), "eigendecomposition: eigenvectors has 1 columns, needs 2");
  matrix[2] = std::numeric_limits<double>::infinity();
  EXPECT_EQ(complaint(good), "eigendecomposition: matrix has inf in row 1, column 0");
}

}  // namespace
}  // namespace lexiscope::testing
