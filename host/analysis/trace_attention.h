// The attention maps of a batch's texts, from a second pass over each layer's queries and keys.
#pragma once

#include <vector>

#include "host/analysis/trace_context.h"

namespace lexiscope {

class TraceAttention {
 public:
  explicit TraceAttention(const TraceContext& context);

  /// Writes what the options want of the maps of one layer's texts. `texts` are the batch's.
  void record(const LayerView& layer, const TraceBatch& batch, const TokenBatch& texts);

  /// Writes what is a mean over all texts.
  void finish();

 private:
  void map_text(const LayerView& layer, std::size_t first, std::size_t tokens, std::size_t rows);
  void add_distances(std::size_t index, std::size_t tokens);
  void write_full(const LayerView& layer);
  AttentionMapArgs inputs(const LayerView& layer, std::size_t first, std::size_t tokens) const;
  void write(const char* name, std::initializer_list<std::size_t> first, ConstTensorView piece);

  TraceContext context_;
  std::size_t heads_;
  Tensor received_, by_distance_, top_index_, top_weight_, pooled_mean_, pooled_maximum_, rectangle_;
  std::vector<double> distances_;  ///< [layers, H, longest] sums over the texts
};

}  // namespace lexiscope
