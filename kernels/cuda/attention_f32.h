// Attention in f32 throughout, by fused multiply-adds: within the bounds that docs/numerics.md gives for f32, so that
// everything else can be validated with it. The output, every statistic and the maximum's position come from one pass.
#pragma once

#include "lexiscope/ops/attention.h"
#include "simt/cuda.h"

namespace lexiscope::cuda {

/// How a head is cut into blocks and a block into threads.
struct AttentionF32Config {
  unsigned value_columns = 0;  ///< columns of the output that a block makes: 64, 128 or 256; scores are computed again
                               ///< for each such slice of a larger head
  unsigned rows_per_thread = 0;  ///< 8: 128 threads for 64 queries; 4: 256
  bool aligned = false;          ///< rows are whole pieces of 16 bytes, so that they are copied asynchronously
};

/// A function of the shape and the alignment.
AttentionF32Config choose_attention_f32_config(const AttentionArgs& args);

/// Enqueues on `stream` and returns. Query, key and value are f32 in device memory, any head size and strides; T_q, T_k
/// and the head size are below 2^31, heads below 2^16. Needs no workspace. Throws Error{kDevice} where the launch is
/// refused.
void attention_f32(const AttentionArgs& args, const AttentionF32Config& config, cudaStream_t stream);

}  // namespace lexiscope::cuda
