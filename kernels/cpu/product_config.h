// How the product of T rows with packed panels is cut into tasks for threads. The cut changes no bit of the result.
#pragma once

#include <algorithm>
#include <cstddef>

namespace lexiscope::cpu {

/// Rows that pass over a panel before the next is fetched: 96 KiB of x a block of the contraction, which the
/// second-level cache holds beside two panels.
inline constexpr std::size_t kRowsPerBlock = 64;
/// The same on tiles, where splitting a panel's weights costs about as much as multiplying 26 rows with it.
inline constexpr std::size_t kRowsPerTileBlock = 128;

/// Part of a product: the rows and the panels of y that one thread computes.
struct Task {
  std::size_t first_row, last_row, first_panel, last_panel;
};

struct ProductConfig {
  std::size_t rows = 0, panels = 0;                    ///< of the whole product
  std::size_t rows_per_task = 0, panels_per_task = 0;  ///< each at least 1

  std::size_t row_tasks() const noexcept { return (rows + rows_per_task - 1) / rows_per_task; }
  std::size_t panel_tasks() const noexcept { return (panels + panels_per_task - 1) / panels_per_task; }
  std::size_t tasks() const noexcept { return row_tasks() * panel_tasks(); }
  Task task(std::size_t index) const noexcept {
    const std::size_t row = index / panel_tasks() * rows_per_task, panel = index % panel_tasks() * panels_per_task;
    return {row, std::min(rows, row + rows_per_task), panel, std::min(panels, panel + panels_per_task)};
  }
};

/// What computes a product: the processor's vectors, or its tiles (tile_product-inl.h).
enum class Units { vectors, tiles };

/// Many rows are cut into blocks of rows: every thread reads all weights, which stay in the shared cache. Where that
/// would leave a thread fewer than 24 rows (on tiles, for which weights are split into parts, 64), the cost is the
/// weights: then threads own panels.
constexpr bool threads_own_rows(std::size_t rows, int threads, Units units) noexcept {
  return threads == 1 || rows >= (units == Units::tiles ? 64u : 24u) * static_cast<std::size_t>(threads);
}

/// rows, panels and threads at least 1.
constexpr ProductConfig choose_product_config(std::size_t rows, std::size_t panels, int threads, Units units) noexcept {
  const auto workers = static_cast<std::size_t>(threads);
  if (!threads_own_rows(rows, threads, units)) return {rows, panels, rows, (panels + workers - 1) / workers};
  constexpr std::size_t kEnoughTasks = 8;  // a thread: past that an uneven share costs little
  const std::size_t block = units == Units::tiles ? kRowsPerTileBlock : kRowsPerBlock;
  const std::size_t at_once = units == Units::tiles ? 32 : 8;
  std::size_t tasks = (rows + block - 1) / block;
  if (tasks < kEnoughTasks * workers) tasks = (tasks + workers - 1) / workers * workers;
  const std::size_t rows_per_task = (rows + tasks - 1) / tasks;
  return {rows, panels, (rows_per_task + at_once - 1) / at_once * at_once, panels};
}

}  // namespace lexiscope::cpu
