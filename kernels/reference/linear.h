#pragma once

#include "kernels/reference/weight.h"
#include "lexiscope/ops/linear.h"

namespace lexiscope::reference {
/// args.weight is not read: `weight` is what it holds, [out, in].
void linear(const LinearArgs& args, const Weight& weight);
}  // namespace lexiscope::reference
