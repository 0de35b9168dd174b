#pragma once

#include <cuda_runtime.h>

#include "lexiscope/ops/drift.h"

namespace lexiscope::cuda {

struct DriftConfig {
  unsigned threads;       ///< a block; one warp a token
  unsigned vector_width;  ///< floats a load: 4 where columns, strides and pointers allow loads of 128 bits, else 1
};

DriftConfig choose_drift_config(const DriftArgs& args, const cudaDeviceProp& device);

/// Enqueues on `stream` and returns; args point to device memory.
void drift(const DriftArgs& args, const DriftConfig& config, cudaStream_t stream);

}  // namespace lexiscope::cuda
