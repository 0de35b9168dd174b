// The arrays of a trace: which a run has, their shapes, and what they mean.
#pragma once

#include <vector>

#include "host/analysis/trace_options.h"
#include "host/io/region_arrays.h"

namespace lexiscope {

/// What the arrays of certainty at the last layer are called: those of a causal model tell of the next token, others of
/// the token itself.
inline const char* certainty_prefix(const ModelConfig& model) { return model.causal ? "next" : "token"; }

/// Tokens that the model predicts: all but the first of each text, or all where the model sees both ways.
inline std::size_t predicted_tokens(const ModelConfig& model, const TraceSizes& sizes) {
  return model.causal ? sizes.rows - sizes.texts() : sizes.rows;
}

/// Those that are written while the texts go through the model.
std::vector<RegionArray> trace_arrays(const ModelConfig& model, const TraceSizes& sizes, const TraceOptions& options);

}  // namespace lexiscope
