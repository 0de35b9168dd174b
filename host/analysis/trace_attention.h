// The attention maps of a batch's texts: what is read off them in attention's own pass, and the full maps on request.
#pragma once

#include <vector>

#include "host/analysis/trace_context.h"

namespace lexiscope {

class TraceAttention {
 public:
  explicit TraceAttention(const TraceContext& context);

  /// To be called before each forward pass. Both must outlive it.
  void begin(const TraceBatch& batch, const TokenBatch& texts);

  /// As ForwardObserver's functions of these names. Each layer's texts come in order.
  AttentionMapArgs wanted_map(std::size_t text) const;
  void on_map(std::size_t layer, std::size_t text);

  /// Writes what the options want of the maps of one layer's texts.
  void write(const LayerView& layer);

  /// Writes what is a mean over all texts.
  void finish();

 private:
  void write_full(const LayerView& layer);
  void write(const char* name, std::initializer_list<std::size_t> first, ConstTensorView piece);

  TraceContext context_;
  std::size_t heads_;
  const TraceBatch* batch_ = nullptr;
  const TokenBatch* texts_ = nullptr;
  Tensor received_, by_distance_, top_index_, top_weight_, pooled_mean_, pooled_maximum_, rectangle_;
  std::vector<double> distances_;  ///< [layers, H, longest] sums over the texts
};

}  // namespace lexiscope
