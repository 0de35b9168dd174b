#pragma once

#include "kernels/cpu/context.h"
#include "kernels/cpu/packed_weights.h"
#include "lexiscope/ops/linear.h"

namespace lexiscope::cpu {
/// args.weight is not read: `weights` is what it holds.
void linear(const LinearArgs& args, const PackedWeights& weights, const Context& context);
}  // namespace lexiscope::cpu
