#pragma once

#include "lexiscope/ops/certainty.h"

namespace lexiscope::reference {

/// args.head is not read: `head` [V, d] is what it holds.
void certainty(const CertaintyArgs& args, MatrixView<const double> head);

}  // namespace lexiscope::reference
