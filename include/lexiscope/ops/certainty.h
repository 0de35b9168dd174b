// How certain a language model is of a token: the distribution softmax(x W_out^T + bias) over the vocabulary, reduced
// while it is computed. The logits [T, V] are never held.
#pragma once

#include <cstdint>

#include "lexiscope/ops/linear.h"

namespace lexiscope {

/// For every row t the distribution p = softmax(x[t] W^T + bias) over V tokens. Outputs that are empty are not wanted.
///
/// T = 0 does nothing. Throws Error{kInvalidArgument} where a shape disagrees, the head belongs to another engine, a
/// target is V or more, target_log_prob or target_rank is wanted without targets, k exceeds V, or outputs overlap.
struct CertaintyArgs {
  MatrixView<const float> x{};              ///< [T, d]
  const PackedMatrix* head = nullptr;       ///< [V, d]
  VectorView<const float> bias{};           ///< [V], or empty for none
  VectorView<const std::int32_t> target{};  ///< [T] token ids, or empty; < 0 (cuda: >= V too): none (NaN, rank 0)
  VectorView<float> target_log_prob{};      ///< [T] log p(target), nats
  VectorView<std::int32_t> target_rank{};   ///< [T] 1 + the number of tokens with a larger logit
  VectorView<float> entropy{};              ///< [T] -sum p log p, nats
  MatrixView<std::int32_t> top_id{};        ///< [T, k] the largest p first, the smaller id where they are equal
  MatrixView<float> top_log_prob{};         ///< [T, k] their log p, nats. Wanted together with top_id
};

}  // namespace lexiscope
