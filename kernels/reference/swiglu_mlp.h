#pragma once

#include "kernels/reference/weight.h"
#include "lexiscope/ops/swiglu_mlp.h"

namespace lexiscope::reference {

/// args.gate, args.up and args.down are not read: `gate`, `up` and `down` are what they hold.
void swiglu_mlp(const SwigluMlpArgs& args, const Weight& gate, const Weight& up, const Weight& down);

}  // namespace lexiscope::reference
