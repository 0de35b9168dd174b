#pragma once

#include "kernels/cpu/context.h"
#include "kernels/cpu/packed_weights.h"
#include "lexiscope/ops/gelu_mlp.h"

namespace lexiscope::cpu {

/// Bytes of Context::workspace that gelu_mlp needs for T rows.
std::size_t gelu_mlp_workspace(std::size_t rows, const PackedWeights& up, const PackedWeights& down, int threads);

/// args.up and args.down are not read: `up` and `down` are what they hold.
void gelu_mlp(const GeluMlpArgs& args, const PackedWeights& up, const PackedWeights& down, const Context& context);

}  // namespace lexiscope::cpu
