// Attention on tensor cores: which kernel for which shape and device, and the call that enqueues it.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>

#include "kernels/cuda/attention_variants.h"
#include "lexiscope/ops/attention.h"

namespace lexiscope::cuda {

struct AttentionConfig {
  AttentionVariant variant;
  bool pack;  ///< inputs whose rows do not all begin on 16 bytes are copied first, into the workspace
};

/// For bf16 or f16, d_k up to kAttentionMaxHeadDim. Throws Error{kUnsupported} where no variant fits the device.
AttentionConfig choose_attention_config(const AttentionArgs& args, const cudaDeviceProp& device);

/// Bytes that attention() needs; it has to lie on 16 of them.
std::size_t attention_workspace(const AttentionArgs& args, const AttentionConfig& config);

/// Enqueues everything but the argmax, which belongs to a second pass. args point to device memory; T_q and T_k are
/// below 2^31. Errors of the launch are thrown as Error{kDevice}.
void attention(const AttentionArgs& args, const AttentionConfig& config, void* workspace, cudaStream_t stream);

}  // namespace lexiscope::cuda
