// What a trace takes from the forward pass: states, drift and attention of each layer, into the run's arrays.
#pragma once

#include <vector>

#include "host/analysis/trace_attention.h"
#include "host/analysis/trace_certainty.h"
#include "host/analysis/trace_context.h"

namespace lexiscope {

class TraceObserver final : public ForwardObserver {
 public:
  TraceObserver(const TraceContext& context, TraceAttention& attention, TraceCertainty& certainty);

  /// To be called before each forward pass. `texts` must outlive it.
  void begin(const TraceBatch& batch, const TokenBatch& texts);

  void on_embedding(MatrixView<const float> state) override;
  bool wants_layer(std::size_t layer) const override;
  AttentionMapArgs wanted_map(std::size_t layer, std::size_t text) const override;
  void on_map(std::size_t layer, std::size_t text) override;
  void on_layer(const LayerView& layer) override;

  /// The means of what was seen so far.
  std::vector<LayerSummary> summaries() const;
  const CertaintySums& final_sums() const noexcept { return final_sums_; }
  /// Of the queries and keys: the model's precision.
  DType precision() const noexcept { return precision_; }
  /// Whether the last layer wanted has shown itself since begin().
  bool complete() const noexcept { return complete_; }

 private:
  void write(const char* name, std::initializer_list<std::size_t> first, ConstTensorView piece);
  void write_state(std::size_t index, MatrixView<const float> state);
  void take_tokens(const LayerView& layer, std::size_t index);
  void take_attention(const LayerView& layer, std::size_t index);
  void take_certainty(const LayerView& layer, std::size_t index);
  void write_final_norm(MatrixView<const float> state);

  TraceContext context_;
  TraceAttention& attention_;
  TraceCertainty& certainty_;
  const TraceBatch* batch_ = nullptr;
  const TokenBatch* texts_ = nullptr;
  Tensor normed_;
  std::vector<LayerSummary> sums_;  ///< sums, until summaries() divides them
  std::vector<CertaintySums> lens_sums_;
  CertaintySums final_sums_;
  std::size_t rows_seen_ = 0;
  DType precision_ = DType::f32;
  bool complete_ = false;
};

}  // namespace lexiscope
