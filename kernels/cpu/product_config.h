// How the product of T rows with packed panels is cut into tasks for threads. The cut changes no bit of the result.
#pragma once

#include <algorithm>
#include <cstddef>

namespace lexiscope::cpu {

/// Rows that pass over a panel before the next is fetched: 96 KiB of x a block of the contraction, which the
/// second-level cache holds beside two panels.
inline constexpr std::size_t kRowsPerBlock = 64;

/// Part of a product: the rows and the panels of y that one thread computes. A panel is the columns that are multiplied
/// at once: kPanelColumns of packed weights, or on tiles kTilePair.
struct Task {
  std::size_t first_row, last_row, first_panel, last_panel;

  std::size_t rows() const noexcept { return last_row - first_row; }
  std::size_t panels() const noexcept { return last_panel - first_panel; }
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

/// What computes a product: the processor's vectors, or its tiles.
enum class Units { vectors, tiles };

inline constexpr std::size_t kEnoughTasks = 8;  ///< a thread: past that an uneven share costs little

/// Many rows are cut into blocks of rows: every thread reads all weights, which stay in the shared cache. Where that
/// would leave a thread fewer than 24 rows, the cost is the weights: then threads own panels.
constexpr bool threads_own_rows(std::size_t rows, int threads) noexcept {
  return threads == 1 || rows >= 24 * static_cast<std::size_t>(threads);
}

/// rows, panels and threads at least 1.
constexpr ProductConfig choose_product_config(std::size_t rows, std::size_t panels, int threads) noexcept {
  const auto workers = static_cast<std::size_t>(threads);
  if (!threads_own_rows(rows, threads))
    return {rows, panels, rows, std::max<std::size_t>(1, panels / (kEnoughTasks * workers))};
  std::size_t tasks = (rows + kRowsPerBlock - 1) / kRowsPerBlock;
  if (tasks < kEnoughTasks * workers) tasks = (tasks + workers - 1) / workers * workers;
  const std::size_t rows_per_task = (rows + tasks - 1) / tasks;
  constexpr std::size_t kAtOnce = 8;
  return {rows, panels, (rows_per_task + kAtOnce - 1) / kAtOnce * kAtOnce, panels};
}

// On tiles of bf16 (tile_product-inl.h).

inline constexpr std::size_t kTilePair = 32;              ///< rows, and columns, multiplied at once
inline constexpr std::size_t kMostRowsPerTileTask = 128;  ///< split into parts by every thread that has such a task
inline constexpr std::size_t kMostTilePanels = 12;        ///< of a task
inline constexpr std::size_t kSumsPerTileTask = kMostRowsPerTileTask * kMostTilePanels * kTilePair;
/// Steps of kTileDepth over which all rows of a task pass before the next of the weights: 72 KiB of these.
inline constexpr std::size_t kStepsPerTileBlock = 12;
/// Steps whose parts of x a thread holds: 1.1 MiB for the most rows, of the 2 MiB of second-level cache that every core
/// with tiles has.
inline constexpr std::size_t kStepsHeld = 4 * kStepsPerTileBlock;

/// Tasks are small: a core whose tiles a neighbour uses too has less than half of another's speed.
constexpr ProductConfig choose_tile_config(std::size_t rows, std::size_t panels, int threads) noexcept {
  const std::size_t row_tasks = (rows + kMostRowsPerTileTask - 1) / kMostRowsPerTileTask;
  const std::size_t even = panels * row_tasks / (kEnoughTasks * static_cast<std::size_t>(threads));
  return {rows, panels, kMostRowsPerTileTask, std::clamp<std::size_t>(even, 1, kMostTilePanels)};
}

}  // namespace lexiscope::cpu
