#pragma once

#include "kernels/reference/weight.h"
#include "lexiscope/ops/certainty.h"

namespace lexiscope::reference {

/// args.head is not read: `head` [V, d] is what it holds.
void certainty(const CertaintyArgs& args, const Weight& head);

}  // namespace lexiscope::reference
