#pragma once

#include "lexiscope/ops/swiglu_mlp.h"

namespace lexiscope::reference {

/// args.gate, args.up and args.down are not read: `gate`, `up` and `down` are what they hold.
void swiglu_mlp(const SwigluMlpArgs& args, MatrixView<const double> gate, MatrixView<const double> up,
                MatrixView<const double> down);

}  // namespace lexiscope::reference
