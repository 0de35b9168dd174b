// Checks of arguments that attention and attention_map share. `operation` opens each message.
#pragma once

#include <string_view>

#include "host/core/require.h"
#include "lexiscope/ops/attention.h"

namespace lexiscope {

/// Rank 3 with a dense last dimension, and memory for its elements. `axes` says in messages what the dimensions are.
inline constexpr std::string_view kHeadAxes = "heads, tokens, head size";
void require_rank_3(std::string_view operation, std::string_view name, const ConstTensorView& view,
                    std::string_view axes = kHeadAxes);

/// Shapes of queries and keys that can be multiplied, and the padding of as many keys.
void require_scores(std::string_view operation, const ConstTensorView& query, const ConstTensorView& key, float scale,
                    VectorView<const std::uint8_t> key_padding);

/// An output [H, rows, columns] whose rows and heads do not run into each other.
void require_heads_distinct(std::string_view operation, std::string_view name, const ConstTensorView& out);

/// No head of `out` shares an element with one of `input`.
void require_heads_apart(std::string_view operation, std::string_view out_name, const ConstTensorView& out,
                         std::string_view name, const ConstTensorView& input);

/// All that attention() requires of its arguments.
void require_attention(const AttentionArgs& args);

}  // namespace lexiscope
