#pragma once

#include "kernels/cpu/context.h"
#include "lexiscope/ops/drift.h"

namespace lexiscope::cpu {
void drift(const DriftArgs& args, const Context& context);
}
