#pragma once

#include "kernels/cpu/tsne_config.h"
#include "kernels/cpu/tsne_state.h"

namespace lexiscope::cpu {

// Where the grid lies: node k of an axis is at low + (k - kGridMargin) * spacing.
struct GridPlacement {
  std::array<float, 3> low{};
  float inverse_spacing = 1;
};

// Node where the lowest point lies: its window begins one node before, and rounding may move it a little.
inline constexpr float kGridMargin = 2;

/// A coordinate in nodes. The difference comes first: it is exact where the map is small and far from 0.
inline float grid_place(const GridPlacement& placement, std::size_t axis, float coordinate) {
  return (coordinate - placement.low[axis]) * placement.inverse_spacing + kGridMargin;
}

// near(s) = max(0, 1 - s / kSplit)^4 / s with s = 1 + r^2: three continuous derivatives at the cutoff.
inline constexpr double kSplit = 1 + kTsneCutoff * kTsneCutoff;

/// A charge grid, ready for maps that its config was chosen for.
struct TsneGrid {
  TsneGridConfig config;
  GridConvolution convolution;
  double kernel_offset = 0;            ///< taken off the kernel: its value across the whole grid
  std::array<std::size_t, 3> cells{};  ///< along each axis: a cell holds strip_nodes() nodes (along x cell_nodes())
  std::array<float*, 3> position{};    ///< [points]: sorted by cell
  std::int32_t* order = nullptr;       ///< [points]: of each sorted point, which it is
  std::int32_t* key = nullptr;         ///< [points]: the cell of each point
  std::int32_t* cell_start = nullptr;  ///< [cells + 2]
  double* potential_sums = nullptr;    ///< of each pencil of cells along x

  std::size_t strip_nodes() const noexcept { return config.near_field ? 2 : 4; }
  std::size_t cell_nodes() const noexcept { return config.near_field ? 1 : 4; }
  std::size_t pencils() const noexcept { return cells[1] * cells[2]; }
};

TsneGrid cut_tsne_grid(WorkspaceCutter& cutter, const TsneGridConfig& config, std::size_t points, int threads);

/// Computes the kernel's spectrum: once for a config.
void prepare_tsne_grid(TsneGrid& grid, const Context& context);

/// Fills state.force by the grid; returns Z. The map lies in `extents`, for which the grid's config was chosen.
double tsne_grid_repulsion(const TsneState& state, const TsneExtents& extents, const TsneGrid& grid,
                           const Context& context);

}  // namespace lexiscope::cpu
