#pragma once

#include "kernels/cpu/context.h"
#include "lexiscope/ops/projection.h"

namespace lexiscope::cpu {

/// Rows of x between which the engine looks at the stop token.
std::size_t choose_projection_chunk(std::size_t d, std::size_t k);

/// Holds the packed components from pack_components to the last project_rows: one workspace for the two.
std::size_t projection_workspace(std::size_t d, std::size_t k, int threads);

void pack_components(const ProjectionArgs& args, const Context& context);

/// The scores of rows [first, last).
void project_rows(const ProjectionArgs& args, std::size_t first, std::size_t last, const Context& context);

}  // namespace lexiscope::cpu
