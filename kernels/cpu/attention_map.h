#pragma once

#include <cstddef>

#include "kernels/cpu/context.h"
#include "lexiscope/ops/attention_map.h"

namespace lexiscope::cpu {

/// Takes f32 and bf16.
void attention_map(const AttentionMapArgs& args, const Context& context);

/// O(T) a slab of queries, of which a head has at most 32; O(d_k + k + P) a thread; and O(T_k d_k) a key head where
/// keys are copied: bf16, or rows that are not dense.
std::size_t attention_map_workspace(const AttentionMapArgs& args, int threads);

/// Both operations in one: `map` is of the attention that `args` describes. Takes f32 alone, and at least one query and
/// key. Beside what the two take, 4.5 MiB a thread at most.
void attention_with_map(const AttentionArgs& args, const AttentionMapArgs& map, const Context& context);
std::size_t attention_with_map_workspace(const AttentionArgs& args, const AttentionMapArgs& map, int threads);

/// Slabs that a head's blocks of queries are cut into. Each adds up on its own, so that the number of threads changes
/// no bit; few where there are many heads, so that partial sums take little memory.
std::size_t attention_map_slabs(std::size_t heads, std::size_t blocks);

}  // namespace lexiscope::cpu
