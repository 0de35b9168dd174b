#pragma once

#include "lexiscope/ops/eigendecomposition.h"

namespace lexiscope::reference {
void eigendecomposition(const EigendecompositionArgs& args);
}
