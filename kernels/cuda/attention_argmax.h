// The position of each row's largest score in bf16 and f16, by a second pass over Q K^T on tensor cores: in the first
// pass it would cost every product of the softmax an instruction. In f32 attention_f32() gives it at once.
#pragma once

#include "lexiscope/ops/attention.h"
#include "simt/cuda.h"

namespace lexiscope::cuda {

struct AttentionArgmaxConfig {
  bool aligned = false;  ///< rows are whole pieces of 16 bytes, so that they are copied asynchronously
};

/// A function of the shape and the alignment.
AttentionArgmaxConfig choose_attention_argmax_config(const AttentionArgs& args);

/// Enqueues on `stream` and returns: writes args.statistics.argmax, from the query and the key, bf16 or f16 in device
/// memory. A product is summed in steps of 16 columns from the first on, as attention() sums it, so the position is
/// that of the maximum which attention() gives. Needs no workspace. Throws Error{kDevice} where the launch is refused.
void attention_argmax(const AttentionArgs& args, const AttentionArgmaxConfig& config, cudaStream_t stream);

}  // namespace lexiscope::cuda
