// The unit of certainty's work: up to 64 rows against one segment of the vocabulary, reduced to a few numbers a row.
#pragma once

#include <cstdint>

#include "kernels/cpu/packed_weights.h"

namespace lexiscope::cpu {

/// Of one row and one segment: weights are exp(logit - reference).
struct SegmentSums {
  double sum = 0;               ///< of the weights
  double moment = 0;            ///< of weight * (logit - reference)
  float reference = 0;          ///< within 8 below the segment's largest logit
  std::int32_t above = 0;       ///< tokens with a logit larger than the target's
  std::int32_t candidates = 0;  ///< of `top`
};

/// A token among the k largest logits of a segment, the largest first, the smaller id where they are equal.
struct Candidate {
  float logit = 0;
  std::int32_t id = 0;
};

struct CertaintySegment {
  MatrixView<const float> x;  ///< at most 64 rows
  const PackedWeights* head = nullptr;
  VectorView<const float> bias;
  const float* target_logit = nullptr;  ///< [rows], NaN for none
  std::size_t first_panel = 0, last_panel = 0;
  std::size_t top = 0;  ///< k
  // The first row's; the next row's lie that far on.
  SegmentSums* sums = nullptr;
  std::size_t sums_stride = 0;
  Candidate* candidates = nullptr;
  std::size_t candidates_stride = 0;
};

}  // namespace lexiscope::cpu
