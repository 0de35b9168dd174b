#pragma once

#include "kernels/cpu/context.h"
#include "lexiscope/ops/rms_norm.h"

namespace lexiscope::cpu {
void rms_norm(const RmsNormArgs& args, const Context& context);
}
