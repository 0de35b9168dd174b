#pragma once

#include "kernels/cpu/context.h"
#include "lexiscope/ops/rotary_embedding.h"

namespace lexiscope::cpu {
void rotary_embedding(const RotaryEmbeddingArgs& args, const Context& context);
}
