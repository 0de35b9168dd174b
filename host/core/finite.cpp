// Looks for NaN and infinity at the speed of memory: one bit says whether a row holds any, and only the first row that
// does is searched.
#include "host/core/finite.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include "host/core/require.h"

namespace lexiscope {
namespace {

constexpr std::size_t kWorthThreads = std::size_t{1} << 16;  // elements: below, waking the threads costs more

// NaN and infinity are the values whose exponent is all ones: without the sign, adding one to the exponent carries into
// the sign's place for these and no others. Integer operations, so that every compiler makes a vector loop of it.
bool row_is_finite(const float* row, std::size_t columns) {
  std::uint32_t carries = 0;
  for (std::size_t i = 0; i < columns; ++i)
    carries |= (std::bit_cast<std::uint32_t>(row[i]) & 0x7fffffffu) + 0x00800000u;
  return (carries & 0x80000000u) == 0;
}

}  // namespace

void require_finite(std::string_view operation, std::string_view name, MatrixView<const float> x, int threads) {
  // Not used where there is no OpenMP, as in the plug-in.
  [[maybe_unused]] const int used = x.rows * x.columns < kWorthThreads ? 1 : threads;
  std::size_t first = x.rows;
#pragma omp parallel for schedule(static) num_threads(used) reduction(min : first)
  for (std::size_t i = 0; i < x.rows; ++i)
    if (!row_is_finite(x.row(i), x.columns)) first = std::min(first, i);
  if (first == x.rows) return;
  const float* row = x.row(first);
  const float* value = std::find_if(row, row + x.columns, [](float v) { return !std::isfinite(v); });
  fail(ErrorCode::kInvalidArgument, "{}: {} has {} in row {}, column {}", operation, name,
       std::isnan(*value) ? "nan" : (*value > 0 ? "inf" : "-inf"), first, value - row);
}

}  // namespace lexiscope
