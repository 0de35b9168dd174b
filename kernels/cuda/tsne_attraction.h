// Attraction over the sparse affinities, and what follows it point by point: the gradient or the whole step.
#pragma once

#include "kernels/cuda/tsne_state.h"

namespace lexiscope::cuda {

/// Affinities in compressed rows of whole entries.
struct TsneAffinities {
  const std::int64_t* row_offsets = nullptr;  ///< [points + 1]
  const TsneEdge* edges = nullptr;
};

/// gradient = exaggeration * attraction - force / Z, [points, dimensions]. Force and Z are the state's. Both functions
/// enqueue on `stream` and return; they do nothing where the status is not active.
void tsne_write_gradient(const TsneState& state, const TsneAffinities& affinities, float* gradient,
                         cudaStream_t stream);

/// The same gradient, followed at once by the step: gains and update, and the moved positions with their partial sums
/// and extremes. Sums run in a fixed order. `order` has the points' numbers in the order in which their rows are taken
/// (TsneCells has one by place on the map), or is null for the numbers' own.
void tsne_step_points(const TsneState& state, const TsneAffinities& affinities, const unsigned* order,
                      cudaStream_t stream);

}  // namespace lexiscope::cuda
