#pragma once

#include <cstddef>

#include "kernels/cpu/context.h"
#include "lexiscope/ops/attention.h"

namespace lexiscope::cpu {

/// Takes f32 and bf16.
void attention(const AttentionArgs& args, const Context& context);

/// O(d_k) a thread, and O(T_k d_k) a key head where keys and values are copied: bf16, or rows that are not dense.
std::size_t attention_workspace(const AttentionArgs& args, int threads);

}  // namespace lexiscope::cpu
