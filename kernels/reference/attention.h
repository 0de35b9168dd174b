#pragma once

#include "lexiscope/ops/attention.h"

namespace lexiscope::reference {
void attention(const AttentionArgs& args);
}
