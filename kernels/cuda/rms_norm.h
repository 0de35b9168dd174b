#pragma once

#include "kernels/cuda/row_config.h"
#include "lexiscope/ops/rms_norm.h"

namespace lexiscope::cuda {

RowConfig choose_rms_norm_config(const RmsNormArgs& args, const cudaDeviceProp& device);

/// Enqueues on `stream` and returns; args point to device memory.
void rms_norm(const RmsNormArgs& args, const RowConfig& config, cudaStream_t stream);

}  // namespace lexiscope::cuda
