// Passes over the rows of a matrix that touch every element once or a few times: which of them are worth a second
// thread, and how their rows are cut. A row's result depends on that row alone, so any cut gives the same bits.
#pragma once

#include <algorithm>
#include <cstddef>

namespace lexiscope::cpu {

inline constexpr std::size_t kElementsPerBlock = 8192;  // of three arrays: well within a second-level cache

/// Whether several threads are faster: below, one is done (some 10 microseconds) before the others are at work.
constexpr bool rows_worth_threads(std::size_t rows, std::size_t columns) noexcept {
  return rows * columns > std::size_t{1} << 16;
}

constexpr std::size_t rows_per_block(std::size_t columns) noexcept {
  return std::max<std::size_t>(1, kElementsPerBlock / std::max<std::size_t>(1, columns));
}

/// work(first, last) for rows that cover [0, rows) once. A small matrix enters no parallel region.
template <typename Work>
void for_each_row_block(std::size_t rows, std::size_t columns, int threads, const Work& work) {
  if (!rows_worth_threads(rows, columns)) return work(std::size_t{0}, rows);
  const std::size_t step = rows_per_block(columns);
#pragma omp parallel for schedule(static) num_threads(threads)
  for (std::size_t first = 0; first < rows; first += step) work(first, std::min(rows, first + step));
}

}  // namespace lexiscope::cpu
