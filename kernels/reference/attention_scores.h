// Scores of attention in double, one row at a time, for the operations that start from them. Args is AttentionArgs or
// AttentionMapArgs: their scores have the same fields.
#pragma once

#include <cstddef>
#include <limits>
#include <vector>

#include "kernels/reference/elements.h"
#include "lexiscope/ops/attention.h"

namespace lexiscope::reference {

template <typename Args>
bool is_visible(const Args& args, std::size_t query, std::size_t key) {
  const std::size_t queries = args.query.shape[1], keys = args.key.shape[1];
  if (!args.key_padding.empty() && args.key_padding[key] == 0) return false;
  return args.mask != AttentionMask::causal || key + queries <= query + keys;
}

/// scale * q_i . k_j for every key j, -infinity where the query does not see the key.
template <typename Args>
void score_row(const Args& args, std::size_t head, std::size_t query, std::vector<double>& scores) {
  const auto &q = args.query, &k = args.key;
  const std::size_t group = head / (q.shape[0] / k.shape[0]);
  for (std::size_t key = 0; key < scores.size(); ++key) {
    double product = 0;
    for (std::size_t c = 0; c < q.shape[2]; ++c)
      product += element(q, head * q.strides[0] + query * q.strides[1] + c) *
                 element(k, group * k.strides[0] + key * k.strides[1] + c);
    const bool visible = is_visible(args, query, key);
    scores[key] = visible ? args.scale * product : -std::numeric_limits<double>::infinity();
  }
}

}  // namespace lexiscope::reference
