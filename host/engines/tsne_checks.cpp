#include "host/engines/tsne_checks.h"

#include <cmath>

#include "host/core/finite.h"
#include "host/core/require.h"
#include "kernels/cpu/tsne_state.h"

namespace lexiscope {
namespace {

void require_vector(std::string_view operation, std::string_view name, const Tensor& tensor, DType dtype) {
  const TensorView view = tensor.view();
  require(view.rank == 1 && view.dtype == dtype, "{}: affinities.{} is {} of rank {}, needs to be {} of rank 1",
          operation, name, name_of(view.dtype), view.rank, name_of(dtype));
}

}  // namespace

void require_affinities_shape(std::string_view operation, const SparseMatrix* affinities) {
  require(affinities != nullptr, "{}: affinities is null", operation);
  require_vector(operation, "row_offsets", affinities->row_offsets, DType::i64);
  require_vector(operation, "columns", affinities->columns, DType::i32);
  require_vector(operation, "values", affinities->values, DType::f32);
  const std::size_t offsets = affinities->row_offsets.view().shape[0], entries = affinities->entries();
  require(offsets >= 3, "{}: affinities has {} rows, needs at least 2", operation, offsets > 0 ? offsets - 1 : 0);
  require(affinities->values.view().shape[0] == entries, "{}: affinities has {} columns' indices and {} values",
          operation, entries, affinities->values.view().shape[0]);
}

void require_affinities_contents(std::string_view operation, const SparseMatrix& affinities) {
  const auto offsets = affinities.row_offsets.vector<std::int64_t>();
  const auto columns = affinities.columns.vector<std::int32_t>();
  const auto values = affinities.values.vector<float>();
  const auto rows = static_cast<std::int64_t>(affinities.rows());
  const auto entries = static_cast<std::int64_t>(affinities.entries());
  require(offsets[0] == 0, "{}: affinities.row_offsets begins with {}, needs 0", operation, offsets[0]);
  for (std::int64_t i = 0; i < rows; ++i) {
    const auto row = static_cast<std::size_t>(i);
    const std::int64_t first = offsets[row], last = offsets[row + 1];
    require(first <= last && last <= entries, "{}: affinities.row_offsets goes from {} to {} in row {} of {} entries",
            operation, first, last, i, entries);
    for (std::int64_t e = first; e < last; ++e) {
      const auto at = static_cast<std::size_t>(e);
      const std::int32_t column = columns[at];
      require(column >= 0 && column < rows && column != i && (e == first || columns[at - 1] < column),
              "{}: affinities.columns has {} at entry {} of row {}, needs ascending columns of 0 to {} other than the "
              "row",
              operation, column, e - first, i, rows - 1);
      require(std::isfinite(values[at]) && values[at] >= 0,
              "{}: affinities.values has {} in row {}, column {}, needs a finite value that is not negative", operation,
              values[at], i, column);
    }
  }
  require(offsets[static_cast<std::size_t>(rows)] == entries,
          "{}: affinities.row_offsets ends with {}, affinities has {} entries", operation,
          offsets[static_cast<std::size_t>(rows)], entries);
}

void require_positions(std::string_view operation, const MatrixView<const float>& positions, int threads) {
  require_finite(operation, "positions", positions, threads);
  for (std::size_t i = 0; i < positions.rows; ++i)
    for (std::size_t c = 0; c < positions.columns; ++c)
      require(std::abs(positions.row(i)[c]) <= cpu::kTsneFarthest,
              "{}: positions has {} in row {}, column {}, needs at most {} in magnitude", operation,
              positions.row(i)[c], i, c, cpu::kTsneFarthest);
}

}  // namespace lexiscope
