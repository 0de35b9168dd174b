// The eigendecomposition on the engines: the check that all share, and the calls into the kernels.
#include "kernels/cpu/eigendecomposition.h"

#include <cmath>

#include "host/core/require.h"
#include "host/core/views.h"
#include "host/engines/engines.h"
#include "kernels/reference/eigendecomposition.h"

namespace lexiscope {
namespace {

void require_finite_lower_triangle(MatrixView<const double> matrix) {
  for (std::size_t i = 0; i < matrix.rows; ++i)
    for (std::size_t j = 0; j <= i; ++j)
      require(std::isfinite(matrix.row(i)[j]), "eigendecomposition: matrix has {} in row {}, column {}",
              matrix.row(i)[j], i, j);
}

}  // namespace

void Engine::eigendecomposition(const EigendecompositionArgs& args) {
  const auto [d, columns] = std::pair{args.matrix.rows, args.matrix.columns};
  require(d > 0 && columns == d, "eigendecomposition: matrix is [{}, {}], needs to be square and not empty", d,
          columns);
  require(args.eigenvalues.size == d, "eigendecomposition: eigenvalues has {} elements, matrix has {} rows",
          args.eigenvalues.size, d);
  const std::size_t k = args.eigenvectors.rows;
  require(k <= d, "eigendecomposition: eigenvectors has {} rows, needs at most {}", k, d);
  require(k == 0 || args.eigenvectors.columns == d, "eigendecomposition: eigenvectors has {} columns, needs {}",
          args.eigenvectors.columns, d);
  require_matrix("eigendecomposition: matrix", args.matrix);
  require_matrix("eigendecomposition: eigenvectors", args.eigenvectors);
  if (memory_is_host()) require_finite_lower_triangle(args.matrix);
  do_eigendecomposition(args);
}

void ReferenceEngine::do_eigendecomposition(const EigendecompositionArgs& args) { reference::eigendecomposition(args); }

void CpuEngine::do_eigendecomposition(const EigendecompositionArgs& args) {
  const auto work = context(cpu::eigendecomposition_workspace(args.matrix.rows, args.eigenvectors.rows));
  if (!cpu::eigendecomposition(args, work))
    fail(ErrorCode::kInvalidArgument, "eigendecomposition: the iteration on a [{}, {}] matrix did not converge",
         args.matrix.rows, args.matrix.rows);
}

}  // namespace lexiscope
