#pragma once

#include "kernels/cuda/perceptron.h"
#include "lexiscope/ops/gelu_mlp.h"

namespace lexiscope::cuda {

/// What perceptron() runs. args.up and args.down are not read: `up` and `down` are what they hold.
Perceptron gelu_mlp(const GeluMlpArgs& args, const PackedWeights& up, const PackedWeights& down);

}  // namespace lexiscope::cuda
