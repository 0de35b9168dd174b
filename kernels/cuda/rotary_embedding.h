#pragma once

#include <cuda_runtime.h>

#include "lexiscope/ops/rotary_embedding.h"

namespace lexiscope::cuda {

struct RotaryEmbeddingConfig {
  unsigned vector_width;    ///< pairs a thread turns at once: 4 where sizes, strides and pointers allow it, else 1
  unsigned heads_per_step;  ///< that follow each other in one thread, which reads their cosines and sines once
};

RotaryEmbeddingConfig choose_rotary_embedding_config(const RotaryEmbeddingArgs& args, const cudaDeviceProp& device);

/// Enqueues on `stream` and returns; args point to device memory. Without pairs there is nothing to do.
void rotary_embedding(const RotaryEmbeddingArgs& args, const RotaryEmbeddingConfig& config, cudaStream_t stream);

}  // namespace lexiscope::cuda
