#pragma once

#include "kernels/cuda/perceptron.h"
#include "lexiscope/ops/swiglu_mlp.h"

namespace lexiscope::cuda {

/// What perceptron() runs. args.gate, args.up and args.down are not read: `gate`, `up` and `down` are what they hold.
Perceptron swiglu_mlp(const SwigluMlpArgs& args, const PackedWeights& gate, const PackedWeights& up,
                      const PackedWeights& down);

}  // namespace lexiscope::cuda
