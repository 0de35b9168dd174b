#pragma once

#include "kernels/reference/weight.h"
#include "lexiscope/ops/gelu_mlp.h"

namespace lexiscope::reference {
/// args.up and args.down are not read: `up` [m, d] and `down` [d, m] are what they hold.
void gelu_mlp(const GeluMlpArgs& args, const Weight& up, const Weight& down);
}  // namespace lexiscope::reference
