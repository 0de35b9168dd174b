// The sort of a map by the cells of a near field: a counting sort whose counts may come in any order, since the points
// of a cell are put in the order of their numbers afterwards.
#pragma once

#include "kernels/cuda/tsne_grid.h"

namespace lexiscope::cuda {

inline constexpr unsigned kTsneUnitPoints = 8;  ///< of one cell, that a warp takes together

/// Blocks over which the cells are summed up.
unsigned tsne_cell_blocks(const TsneCells& cells);

/// Empties the counts: once, each sort leaves them empty.
void clear_tsne_cells(const TsneCells& cells, cudaStream_t stream);

/// Enqueues on `stream` and returns. The map lies within the cells; the status's `low` is its corner.
void sort_tsne_cells(const TsneState& state, const TsneCells& cells, cudaStream_t stream);

}  // namespace lexiscope::cuda
