// Attention on tensor cores, in bf16 and f16.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>

#include "kernels/cuda/attention_config.h"
#include "lexiscope/ops/attention.h"

namespace lexiscope::cuda {

/// Bytes that attention() needs; it has to lie on 16 of them.
std::size_t attention_workspace(const AttentionArgs& args, const AttentionConfig& config);

/// Enqueues everything but the argmax, which belongs to a second pass. args point to device memory; T_q and T_k are
/// below 2^31. Errors of the launch are thrown as Error{kDevice}.
void attention(const AttentionArgs& args, const AttentionConfig& config, void* workspace, cudaStream_t stream);

}  // namespace lexiscope::cuda
