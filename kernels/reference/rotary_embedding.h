#pragma once

#include "lexiscope/ops/rotary_embedding.h"

namespace lexiscope::reference {
void rotary_embedding(const RotaryEmbeddingArgs& args);
}
