#pragma once

#include "lexiscope/ops/attention_map.h"

namespace lexiscope::reference {

void attention_map(const AttentionMapArgs& args);

}  // namespace lexiscope::reference
