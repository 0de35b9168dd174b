#pragma once

#include "kernels/cpu/tsne_state.h"
#include "lexiscope/ops/tsne_gradient.h"

namespace lexiscope::cpu {

struct GradientScale {
  float exaggeration;
  float repulsion;  // 1 / Z
};

/// gradient = exaggeration * attraction - state.force / normalization, into args.gradient.
void tsne_write_gradient(const TsneState& state, const TsneAffinities& affinities, double normalization,
                         const TsneGradientArgs& args, const Context& context);

/// The same gradient, followed at once by the step: gains, update and positions of the state, with the mean taken off.
void tsne_apply_gradient(const TsneState& state, const TsneAffinities& affinities, double normalization,
                         const TsneStepArgs& args, const Context& context);

}  // namespace lexiscope::cpu
