// The attention map of a text as the formula has it, dense and in double, from what a layer shows.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "lexiscope/model.h"
#include "tests/support/compare.h"

namespace lexiscope::testing {

struct DenseAttention {
  std::size_t tokens = 0;
  std::vector<double> weights;  ///< [H, T, T]
  /// How far a weight of an f32 engine may be off, as a share of it. A score is off by (d_k + 2) u times its absolute
  /// terms, and so is the log of the sum; the exponential, the scale and the last product add a few u of the exponent.
  double relative_bound = 0;

  double weight(std::size_t head, std::size_t query, std::size_t key) const {
    return weights[(head * tokens + query) * tokens + key];
  }
  /// A row's weights, the largest first, then zeros without end.
  std::vector<double> sorted(std::size_t head, std::size_t query) const {
    std::vector<double> row(tokens + 64);
    for (std::size_t key = 0; key < tokens; ++key) row[key] = weight(head, query, key);
    std::ranges::sort(row, std::greater());
    return row;
  }
};

/// Of rows [first, first + tokens); the layer's query and key are f32 in the host's memory.
inline DenseAttention dense_attention(const LayerView& layer, std::size_t first, std::size_t tokens) {
  const auto row = [&](const ConstTensorView& heads, std::size_t head, std::size_t token) {
    return static_cast<const float*>(heads.data) + head * heads.strides[0] + (first + token) * heads.strides[1];
  };
  const std::size_t heads = layer.query.shape[0], size = layer.query.shape[2], group = heads / layer.key.shape[0];
  DenseAttention map{.tokens = tokens, .weights = std::vector<double>(heads * tokens * tokens)};
  double largest = 0;
  for (std::size_t head = 0; head < heads; ++head)
    for (std::size_t i = 0; i < tokens; ++i) {
      const std::size_t seen = layer.mask == AttentionMask::causal ? i + 1 : tokens;
      double* const weights = map.weights.data() + (head * tokens + i) * tokens;
      double sum = 0;
      for (std::size_t j = 0; j < seen; ++j) {
        double score = 0, terms = 0;
        for (std::size_t c = 0; c < size; ++c) {
          const double term = double(row(layer.query, head, i)[c]) * double(row(layer.key, head / group, j)[c]);
          score += term;
          terms += std::abs(term);
        }
        largest = std::max(largest, terms * double(layer.scale));
        sum += weights[j] = std::exp(score * double(layer.scale));
      }
      for (std::size_t j = 0; j < seen; ++j) weights[j] /= sum;
    }
  map.relative_bound = kUnitF32 * (2 * (static_cast<double>(size) + 6) * largest + static_cast<double>(tokens) + 16);
  return map;
}

}  // namespace lexiscope::testing
