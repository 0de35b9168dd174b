// Jacobi's method with cyclic sweeps (Golub and Van Loan, Matrix Computations, section 8.5): each rotation zeroes one
// element off the diagonal, and sweeps go on until none of them matters any more.
#include "kernels/reference/eigendecomposition.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

namespace lexiscope::reference {
namespace {

constexpr int kMostSweeps = 60;  // convergence is quadratic: ten are seldom needed

// A square matrix of doubles; what the rotations work on.
struct Square {
  std::size_t d;
  std::vector<double> values;
  double& at(std::size_t row, std::size_t column) { return values[row * d + column]; }
};

// A <- J^T A J and V <- J V with the rotation J in the plane (p, q) that makes A[p][q] zero; V's rows are the vectors.
void rotate(Square& a, Square& v, std::size_t p, std::size_t q) {
  const double theta = (a.at(q, q) - a.at(p, p)) / (2 * a.at(p, q));
  const double t = std::copysign(1.0, theta) / (std::abs(theta) + std::hypot(theta, 1.0));
  const double cosine = 1 / std::hypot(t, 1.0), sine = t * cosine;
  const auto turn = [&](double& x, double& y) {
    const double old = x;
    x = cosine * old - sine * y;
    y = sine * old + cosine * y;
  };
  for (std::size_t i = 0; i < a.d; ++i) turn(a.at(i, p), a.at(i, q));
  for (std::size_t i = 0; i < a.d; ++i) turn(a.at(p, i), a.at(q, i));
  for (std::size_t i = 0; i < a.d; ++i) turn(v.at(p, i), v.at(q, i));
  a.at(p, q) = a.at(q, p) = 0;
}

void diagonalize(Square& a, Square& v) {
  double norm = 0;
  for (const double value : a.values) norm = std::hypot(norm, value);
  const double negligible = std::numeric_limits<double>::epsilon() / 16 * norm / static_cast<double>(a.d);
  for (int sweep = 0; sweep < kMostSweeps; ++sweep) {
    bool rotated = false;
    for (std::size_t p = 0; p < a.d; ++p)
      for (std::size_t q = p + 1; q < a.d; ++q) {
        if (std::abs(a.at(p, q)) <= negligible) continue;
        rotate(a, v, p, q);
        rotated = true;
      }
    if (!rotated) return;
  }
}

}  // namespace

void eigendecomposition(const EigendecompositionArgs& args) {
  const std::size_t d = args.matrix.rows;
  Square a{d, std::vector<double>(d * d)}, v{d, std::vector<double>(d * d)};
  for (std::size_t i = 0; i < d; ++i) {
    v.at(i, i) = 1;
    for (std::size_t j = 0; j <= i; ++j) a.at(i, j) = a.at(j, i) = args.matrix.row(i)[j];
  }
  diagonalize(a, v);

  std::vector<std::size_t> order(d);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](auto i, auto j) { return a.at(i, i) > a.at(j, j); });
  for (std::size_t j = 0; j < d; ++j) args.eigenvalues[j] = std::max(0.0, a.at(order[j], order[j]));
  for (std::size_t j = 0; j < args.eigenvectors.rows; ++j) {
    const double* vector = v.values.data() + order[j] * d;
    const double largest = *std::max_element(
        vector, vector + d, [](double left, double right) { return std::abs(left) < std::abs(right); });
    const double sign = largest < 0 ? -1 : 1;
    for (std::size_t i = 0; i < d; ++i) args.eigenvectors.row(j)[i] = sign * vector[i];
  }
}

}  // namespace lexiscope::reference
