// Exact nearest neighbours: a pass over 8-bit codes proposes, single precision thins out, double precision decides.
#pragma once

#include "kernels/cpu/context.h"
#include "kernels/cpu/neighbors_table.h"
#include "lexiscope/ops/neighbors.h"

namespace lexiscope::cpu {

/// The configuration for these arguments on this processor.
NeighborsConfig choose_neighbors_config(const NeighborsArgs& args, int threads);

std::size_t neighbors_workspace(const NeighborsArgs& args, const NeighborsConfig& config, int threads);

/// Lays out the points in the workspace. It is to be left as it is until the last neighbors() of the same arguments.
void prepare_neighbors(const NeighborsArgs& args, const NeighborsConfig& config, const Context& context);

/// The lists of queries first .. last - 1.
void neighbors(const NeighborsArgs& args, const NeighborsConfig& config, std::size_t first, std::size_t last,
               const Context& context);

}  // namespace lexiscope::cpu
