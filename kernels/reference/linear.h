#pragma once

#include "lexiscope/ops/linear.h"

namespace lexiscope::reference {
/// args.weight is not read: `weight` is what it holds, [out, in].
void linear(const LinearArgs& args, MatrixView<const double> weight);
}  // namespace lexiscope::reference
