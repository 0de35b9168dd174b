#pragma once

#include "kernels/cpu/context.h"
#include "lexiscope/ops/layer_norm.h"

namespace lexiscope::cpu {
void layer_norm(const LayerNormArgs& args, const Context& context);
}
