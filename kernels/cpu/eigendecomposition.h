#pragma once

#include "kernels/cpu/context.h"
#include "lexiscope/ops/eigendecomposition.h"

namespace lexiscope::cpu {

std::size_t eigendecomposition_workspace(std::size_t d, std::size_t k);

/// False where the iteration did not converge, which no finite matrix is known to cause.
bool eigendecomposition(const EigendecompositionArgs& args, const Context& context);

}  // namespace lexiscope::cpu
