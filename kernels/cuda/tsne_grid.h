// Repulsion by a charge grid: every point spreads a unit charge over the nodes around it by a cubic B-spline, the grid
// is convolved with the kernel K = 1 / (1 + r^2) by FFTs, and the potential and its gradient are read back through the
// same spline and its derivative. Where the grid is too coarse for close pairs, K is split at a cutoff into a compact
// near part, summed over pairs in neighbouring cells, and a smooth far part (particle-particle particle-mesh; Hockney
// and Eastwood 1988, chapter 8).
#pragma once

#include <cufft.h>

#include <cstddef>
#include <vector>

#include "kernels/cuda/tsne_state.h"

namespace lexiscope::cuda {

/// One run of a cell's points that a warp takes together.
struct TsneUnit {
  unsigned cell, first;
};

/// The cells of a near field, kTsneCutoff wide each, and the map sorted by them.
struct TsneCells {
  unsigned counts[3] = {1, 1, 1};  ///< cells along each axis
  unsigned* occupied = nullptr;    ///< [cells()]: points of each, 0 between iterations
  unsigned* start = nullptr;       ///< [cells() + 1]: of each cell in the sorted order
  uint2* totals = nullptr;         ///< points and units of each block of cells
  TsneUnit* units = nullptr;       ///< [most_units]
  unsigned* unit_count = nullptr;
  uint2* slot = nullptr;        ///< [points]: the cell of each point, and the order in which it came there
  unsigned* arrived = nullptr;  ///< [points]: points by cell, in the order in which they came
  unsigned* order = nullptr;    ///< [points]: points by cell, ascending in each
  float* sorted = nullptr;      ///< [points] TsnePoint in that order
  unsigned most_units = 0;

  __host__ __device__ unsigned cells() const { return counts[0] * counts[1] * counts[2]; }
};

struct TsneGrid {
  TsneConfig config{};
  float inverse_spacing = 1;
  unsigned lengths[3] = {1, 1, 1};       ///< of the transforms: twice the nodes
  double kernel_offset = 0;              ///< taken off the kernel: its value across the whole grid
  unsigned long long* charge = nullptr;  ///< [nodes z][nodes y][nodes x], in 2^-30; 0 between iterations
  float* field = nullptr;                ///< [lengths z][lengths y][row_floats()]: reals, and in place frequencies
  float* spectrum = nullptr;             ///< of the kernel: [lengths z][lengths y][frequencies()]
  float* filters = nullptr;              ///< of each axis, see tsne_grid_filters()
  double* shares = nullptr;              ///< of Z
  TsneCells cells{};

  /// Of a row along x, which is real.
  __host__ __device__ unsigned frequencies() const { return lengths[0] / 2 + 1; }
  __host__ __device__ unsigned row_floats() const { return 2 * frequencies(); }
  __host__ __device__ unsigned rows() const { return lengths[1] * lengths[2]; }
};

/// The grid's arrays cut from memory that is aligned to 256 bytes; from null memory, their size in `bytes` alone.
TsneGrid cut_tsne_grid(const TsneConfig& config, unsigned points, unsigned dimensions, void* memory,
                       std::size_t& bytes);

/// The factors by which the transformed kernel is multiplied at each frequency, axis by axis: [frequencies()],
/// [lengths y], [lengths z]. They undo spreading and reading, and scale the transforms.
std::vector<float> tsne_grid_filters(const TsneGrid& grid, unsigned dimensions);

/// Two transforms of the field in place, between whose calls it is the caller's.
struct TsneTransforms {
  cufftHandle forward, backward;
};

/// Fills the spectrum from the filters, which are there, and empties the charges. Enqueues on `stream`, which is the
/// transforms' too, and returns. Throws Error{kDevice} where a launch or a transform is refused.
void prepare_tsne_grid(const TsneGrid& grid, unsigned dimensions, const TsneTransforms& transforms,
                       cudaStream_t stream);

/// Fills state.force, and Z of the status, for a map that wants grid.config. Charges are integers, whose sums need no
/// order; a near field is summed in an order of its own. Enqueues as above.
void tsne_grid_repulsion(const TsneState& state, const TsneGrid& grid, const TsneTransforms& transforms,
                         cudaStream_t stream);

}  // namespace lexiscope::cuda
