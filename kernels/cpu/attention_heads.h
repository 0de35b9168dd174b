// What attention and attention_map hand to their blocks: keys and values in the layout that the tiles read, and the
// blocks themselves.
#pragma once

#include <algorithm>
#include <cstddef>

#include "kernels/cpu/attention_block.h"
#include "kernels/cpu/context.h"
#include "lexiscope/ops/attention.h"

namespace lexiscope::cpu {

/// Keys and values as dense words (see AttentionBlock), copied: bf16 values pair up across rows, and rows that lie far
/// apart, as in [T, heads * d_k], share few sets of the first-level cache (a sixth of the speed). Dense f32 serves as
/// is, and nothing is copied.
struct PackedHeads {
  float* key = nullptr;    // [H_kv, T_k, words]
  float* value = nullptr;  // [H_kv, value_rows, d_k]
  std::size_t words = 0;
  std::size_t value_rows = 0;
};

/// Cuts memory for those that need copying. An empty `value` is not wanted.
PackedHeads cut_heads(const ConstTensorView& key, const ConstTensorView& value, WorkspaceCutter& cutter);

/// Copies them. Called by every thread of a parallel region, which share the work and wait for each other.
void pack_heads(const ConstTensorView& key, const ConstTensorView& value, const PackedHeads& packed);

/// A head's first row in the layout that its block reads.
const float* key_words(const ConstTensorView& key, const PackedHeads& packed, std::size_t group);
const float* value_words(const ConstTensorView& value, const PackedHeads& packed, std::size_t group);

/// All keys but the padding at the end, where it usually is.
std::size_t keys_before_padding(VectorView<const std::uint8_t> padding, std::size_t keys);

/// The part of a block that its scores need, for AttentionArgs and AttentionMapArgs: their fields have the same names.
template <typename Args>
AttentionBlock scores_of(const Args& args, const PackedHeads& packed, std::size_t head, std::size_t first_query,
                         std::size_t queries, std::size_t seen_keys) {
  const auto &query = args.query, &key = args.key;
  AttentionBlock block{.dtype = query.dtype, .head_dim = query.shape[2], .keys = seen_keys, .scale = args.scale};
  block.queries = queries;
  block.query_stride = query.strides[1] * size_of(query.dtype);
  block.query = static_cast<const std::byte*>(query.data) + head * query.strides[0] * size_of(query.dtype) +
                first_query * block.query_stride;
  block.key = key_words(key, packed, head / (query.shape[0] / key.shape[0]));
  if (args.mask == AttentionMask::causal) {
    block.causal = true;
    block.first_limit =
        static_cast<std::ptrdiff_t>(first_query + key.shape[1] + 1) - static_cast<std::ptrdiff_t>(query.shape[1]);
    const auto last_limit = block.first_limit + static_cast<std::ptrdiff_t>(queries) - 1;
    block.keys = std::min(seen_keys, static_cast<std::size_t>(std::max<std::ptrdiff_t>(last_limit, 0)));
  }
  block.key_padding = args.key_padding.data;
  return block;
}

/// The whole of a block.
AttentionBlock attention_block_of(const AttentionArgs& args, const PackedHeads& packed, std::size_t head,
                                  std::size_t first_query, std::size_t queries, std::size_t seen_keys);

}  // namespace lexiscope::cpu
