// The distribution over a vocabulary on the device: tiles of logits, in f32 or with bf16 weights on tensor cores,
// reduced as soon as they are there. The logits [T, V] are never held.
#pragma once

#include <cstddef>

#include "kernels/cuda/packed_weights.h"
#include "lexiscope/ops/certainty.h"
#include "simt/cuda.h"

namespace lexiscope::cuda {

struct CertaintyConfig {
  unsigned rows_per_tile = 64;  ///< 64; 16 for few rows, so that the next token alone multiplies little in vain
  unsigned spans = 1;           ///< blocks that share a tile of rows, each with a run of the vocabulary
};

/// A function of T, V and the device: two blocks a multiprocessor, or fewer where there are fewer tiles.
CertaintyConfig choose_certainty_config(std::size_t rows, std::size_t vocabulary, const cudaDeviceProp& device);

/// Bytes that certainty() needs: a copy of x and the head's rows of the targets where those are needed, and 16 bytes
/// (272 with top_id) for each row of each span.
std::size_t certainty_workspace(const CertaintyArgs& args, const PackedWeights& head, const CertaintyConfig& config);

/// Enqueues on `stream` and returns. `head` stands for args.head; views and the workspace, aligned to 16 bytes, are
/// device memory; T and V are below 2^31. A target that is V or more gives NaN and rank 0, as one below 0 does: what
/// lies in device memory is not checked on the host. A top k past 32 takes a pass over the vocabulary for each 32.
/// Throws Error{kDevice} where a launch is refused.
void certainty(const CertaintyArgs& args, const PackedWeights& head, const CertaintyConfig& config, void* workspace,
               cudaStream_t stream);

}  // namespace lexiscope::cuda
