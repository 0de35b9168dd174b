#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/packed_weights.h"
#include "kernels/cuda/product_config.h"
#include "lexiscope/ops/linear.h"

namespace lexiscope::cuda {

ProductConfig choose_linear_config(const LinearArgs& args, const PackedWeights& weight, const cudaDeviceProp& device);

/// Bytes of the workspace that linear() needs, aligned to 16 bytes; may be 0.
std::size_t linear_workspace(const LinearArgs& args, const PackedWeights& weight, const ProductConfig& config = {});

/// Enqueues on `stream` and returns; args point to device memory. args.weight is not read: `weight` is what it holds.
void linear(const LinearArgs& args, const PackedWeights& weight, const ProductConfig& config, void* workspace,
            cudaStream_t stream);

}  // namespace lexiscope::cuda
