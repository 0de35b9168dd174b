#pragma once

#include "kernels/cuda/row_config.h"
#include "lexiscope/ops/layer_norm.h"

namespace lexiscope::cuda {

RowConfig choose_layer_norm_config(const LayerNormArgs& args, const cudaDeviceProp& device);

/// Enqueues on `stream` and returns; args point to device memory.
void layer_norm(const LayerNormArgs& args, const RowConfig& config, cudaStream_t stream);

}  // namespace lexiscope::cuda
