// What happens to a whole t-SNE map between two gradients: it comes from the caller's arrays and goes back to them, its
// mean is taken off, and the box around it says which repulsion it wants.
#pragma once

#include "kernels/cuda/tsne_state.h"

namespace lexiscope::cuda {

/// Brings positions, and update and gains unless they are null, into the state; notes in the status what is not finite
/// or too far out, and which repulsion the map wants (of `allowed`). The status is active where nothing is wrong and
/// the map wants `config`. All arrays are device memory, [points, dimensions] and dense. Enqueues and returns.
void tsne_import(const TsneState& state, const float* positions, const float* update, const float* gains,
                 Repulsion allowed, const TsneConfig& config, cudaStream_t stream);

/// The status is active where nothing is wrong and the map wants `config`.
void tsne_activate(const TsneState& state, const TsneConfig& config, cudaStream_t stream);

/// After tsne_step_points(): takes the mean off the moved points, and says as tsne_import() does whether the next
/// iteration can go on with `config`.
void tsne_finish_iteration(const TsneState& state, Repulsion allowed, const TsneConfig& config, cudaStream_t stream);

void tsne_export(const TsneState& state, float* positions, float* update, float* gains, cudaStream_t stream);

}  // namespace lexiscope::cuda
