// What the attention map shows, from one pass over Q K^T (more for a top k past 32): scores on tensor cores in bf16 and
// f16, by fused multiply-adds in f32. The map is never held: of a tile what was asked for is taken, then it is gone.
#pragma once

#include <cstddef>

#include "lexiscope/ops/attention_map.h"
#include "simt/cuda.h"

namespace lexiscope::cuda {

struct AttentionMapConfig {
  bool aligned = false;  ///< rows are whole pieces of 16 bytes, so that they are copied asynchronously
  unsigned spans = 1;    ///< blocks that share a head, each with a run of the queries and partial sums of its own
};

/// A function of the shape, the alignment and the device: two blocks a multiprocessor, or fewer where the map has fewer
/// tiles of queries.
AttentionMapConfig choose_attention_map_config(const AttentionMapArgs& args, const cudaDeviceProp& device);

/// Bytes that attention_map() needs: at most 2 T_k + T_q + 4 P floats for each span of each head.
std::size_t attention_map_workspace(const AttentionMapArgs& args, const AttentionMapConfig& config);

/// Enqueues on `stream` and returns. Query and key are f32, bf16 or f16; all views and the workspace, aligned to 16
/// bytes, are device memory. T_q, T_k and the head size are below 2^31 together, heads below 2^16. Sums run in a fixed
/// order. Throws Error{kDevice} where a launch is refused.
void attention_map(const AttentionMapArgs& args, const AttentionMapConfig& config, void* workspace,
                   cudaStream_t stream);

}  // namespace lexiscope::cuda
