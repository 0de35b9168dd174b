// How certain the model is of the texts' tokens, from the states after its last layer or, as a lens, after every layer.
#pragma once

#include <optional>
#include <vector>

#include "host/analysis/trace_context.h"

namespace lexiscope {

/// Sums over tokens, nats.
struct CertaintySums {
  double log_prob = 0;  ///< of the predicted tokens
  double entropy = 0;   ///< of all rows

  CertaintySums& operator+=(const CertaintySums& other) {
    log_prob += other.log_prob;
    entropy += other.entropy;
    return *this;
  }
};

class TraceCertainty {
 public:
  /// Allocates where options and model want certainty of any kind.
  explicit TraceCertainty(const TraceContext& context);

  /// Writes the distributions of a batch's states [rows, d] into the arrays of the last layer, into those of the lens
  /// at `lens_layer`, or both. `final` also gives the first text's tokens.
  CertaintySums record(MatrixView<const float> state, const TraceBatch& batch, const TokenBatch& texts, bool final,
                       std::optional<std::size_t> lens_layer);

  /// The first text's log-probabilities and ranks, one entry a token that the model predicts.
  struct Prediction {
    float log_prob = 0;
    std::int32_t rank = 0;
  };
  const std::vector<Prediction>& first_text() const noexcept { return first_text_; }

 private:
  struct Chunk;
  Chunk compute(MatrixView<const float> state, const TraceBatch& batch, const TokenBatch& texts, std::size_t first);
  void write(const Chunk& chunk, bool final, std::optional<std::size_t> lens_layer);
  void take_first_text(const Chunk& chunk);

  TraceContext context_;
  Tensor target_, log_prob_, rank_, entropy_, top_id_, top_log_prob_;
  std::vector<Prediction> first_text_;
};

}  // namespace lexiscope
