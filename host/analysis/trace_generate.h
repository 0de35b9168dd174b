// The text continued token by token with the keys and values kept, and how certain the model was of each new token.
#pragma once

#include <vector>

#include "host/analysis/trace_context.h"

namespace lexiscope {

/// Continues the text that `cache` holds; `state` is its last row [1, d] after the last layer. Ends early after the
/// model's end-of-text token. `report` is told the share done.
///
/// Each token is the likeliest one (temperature 0), or drawn from softmax(logits / temperature) with the seed;
/// log_prob, entropy and rank are those of softmax(logits) itself.
std::vector<GeneratedToken> generate_tokens(const TraceContext& context, const Tokenizer* tokenizer,
                                            std::int32_t last_id, MatrixView<const float> state, KeyValueCache& cache);

}  // namespace lexiscope
