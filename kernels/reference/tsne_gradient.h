#pragma once

#include "lexiscope/ops/tsne_gradient.h"

namespace lexiscope::reference {

/// Returns Z. The plan in the arguments is not looked at.
double tsne_gradient(const SparseMatrix& affinities, const TsneGradientArgs& args);
void tsne_step(const SparseMatrix& affinities, const TsneStepArgs& args);

}  // namespace lexiscope::reference
