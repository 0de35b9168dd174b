// LAPACK's divide and conquer on the tridiagonal form: all eigenvalues at once, vectors orthogonal even where
// eigenvalues repeat, and only the k vectors that are asked for turned back. On one thread, for the same bits always.
#include "kernels/cpu/eigendecomposition.h"

#include <lapacke.h>

#include <algorithm>
#include <cmath>

extern "C" void openblas_set_num_threads(int);

namespace lexiscope::cpu {
namespace {

constexpr std::size_t kIntegers = 5;  // dstedc asks for 3 + 5 d of them
constexpr std::size_t kPanel = 64;    // columns that dsytrd and dormtr treat together, at most

struct EigenLayout {
  double* tridiagonal;  // [d, d]: the matrix, then the reflections that made it tridiagonal
  double* vectors;      // [d, d]: a column each, ascending
  double* diagonal;     // [d], then the eigenvalues, ascending
  double* beside;       // [d]: the elements beside the diagonal
  double* reflections;  // [d]: their factors
  double* scratch;
  lapack_int* integers;
  std::size_t scratch_size, integers_size, bytes;
};

EigenLayout eigen_layout(std::size_t d, std::size_t k, std::byte* base) {
  WorkspaceCutter cutter(base);
  EigenLayout layout{};
  layout.tridiagonal = cutter.cut<double>(d * d);
  layout.vectors = cutter.cut<double>(d * d);
  layout.diagonal = cutter.cut<double>(d);
  layout.beside = cutter.cut<double>(d);
  layout.reflections = cutter.cut<double>(d);
  // What dstedc asks for (1 + 4 d + d^2), and dsytrd and dormtr (a panel, and for dormtr its triangle).
  layout.scratch_size = std::max(1 + 4 * d + d * d, kPanel * std::max(d, k) + 2 * kPanel * kPanel);
  layout.scratch = cutter.cut<double>(layout.scratch_size);
  layout.integers_size = 3 + kIntegers * d;
  layout.integers = cutter.cut<lapack_int>(layout.integers_size);
  layout.bytes = cutter.used();
  return layout;
}

// The component of largest magnitude (the first of several) is made positive.
void write_with_sign(const double* from, double* to, std::size_t d) {
  const auto smaller = [](double left, double right) { return std::abs(left) < std::abs(right); };
  const double sign = *std::max_element(from, from + d, smaller) < 0 ? -1 : 1;
  for (std::size_t i = 0; i < d; ++i) to[i] = sign * from[i];
}

}  // namespace

std::size_t eigendecomposition_workspace(std::size_t d, std::size_t k) { return eigen_layout(d, k, nullptr).bytes; }

bool eigendecomposition(const EigendecompositionArgs& args, const Context& context) {
  const std::size_t d = args.matrix.rows, k = args.eigenvectors.rows;
  const auto order = static_cast<lapack_int>(d), kept = static_cast<lapack_int>(k);
  const EigenLayout layout = eigen_layout(d, k, context.workspace.data());
  const auto scratch_size = static_cast<lapack_int>(layout.scratch_size);
  openblas_set_num_threads(1);

  // Column by column, as LAPACK reads: its lower triangle is ours.
  for (std::size_t i = 0; i < d; ++i)
    for (std::size_t j = 0; j <= i; ++j) layout.tridiagonal[j * d + i] = args.matrix.row(i)[j];
  if (LAPACKE_dsytrd_work(LAPACK_COL_MAJOR, 'L', order, layout.tridiagonal, order, layout.diagonal, layout.beside,
                          layout.reflections, layout.scratch, scratch_size) != 0 ||
      LAPACKE_dstedc_work(LAPACK_COL_MAJOR, 'I', order, layout.diagonal, layout.beside, layout.vectors, order,
                          layout.scratch, scratch_size, layout.integers,
                          static_cast<lapack_int>(layout.integers_size)) != 0)
    return false;
  double* last = layout.vectors + (d - k) * d;  // the k largest
  if (k > 0 && LAPACKE_dormtr_work(LAPACK_COL_MAJOR, 'L', 'L', 'N', order, kept, layout.tridiagonal, order,
                                   layout.reflections, last, order, layout.scratch, scratch_size) != 0)
    return false;

  for (std::size_t j = 0; j < d; ++j) args.eigenvalues[j] = std::max(0.0, layout.diagonal[d - 1 - j]);
  for (std::size_t j = 0; j < k; ++j) write_with_sign(layout.vectors + (d - 1 - j) * d, args.eigenvectors.row(j), d);
  return true;
}

}  // namespace lexiscope::cpu
