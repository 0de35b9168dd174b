#pragma once

#include <span>

#include "kernels/cpu/tsne_config.h"
#include "kernels/cpu/tsne_grid.h"
#include "kernels/cpu/tsne_state.h"
#include "lexiscope/ops/tsne_gradient.h"

namespace lexiscope::cpu {

/// The repulsion that a config asks for, in memory of the plan's.
struct TsneRepulsion {
  TsneConfig config;
  TsneGrid grid;                 ///< where the config has one
  std::span<std::byte> scratch;  ///< where it has none
};

std::size_t tsne_repulsion_memory(const TsneConfig& config, const TsneState& state, int threads);

/// Builds what the config needs; `memory` is at least tsne_repulsion_memory() for as long as the repulsion is used.
TsneRepulsion prepare_tsne_repulsion(const TsneConfig& config, const TsneState& state, std::span<std::byte> memory,
                                     const Context& context);

/// The gradient at the state's positions, into args.gradient; returns Z. The repulsion was prepared for the config of
/// the map's extents.
double tsne_gradient(const TsneState& state, const TsneAffinities& affinities, const TsneExtents& extents,
                     const TsneRepulsion& repulsion, const TsneGradientArgs& args, const Context& context);

/// One iteration of the step on the state.
void tsne_step(const TsneState& state, const TsneAffinities& affinities, const TsneExtents& extents,
               const TsneRepulsion& repulsion, const TsneStepArgs& args, const Context& context);

}  // namespace lexiscope::cpu
