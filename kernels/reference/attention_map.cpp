// The attention map in double, a row at a time, and what is read off each row: sums down the columns and along the
// diagonals, means and maxima of cells, the largest weights, a rectangle.
#include "kernels/reference/attention_map.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/reference/attention_scores.h"

namespace lexiscope::reference {
namespace {

// What adds up over the rows of one head.
struct HeadSums {
  std::vector<double> received, by_distance, cell_sums, cell_maxima;
  std::vector<std::size_t> cell_pairs;
};

template <typename Element>
Element* row_of(const TensorView& view, std::size_t head, std::size_t row) {
  return static_cast<Element*>(view.data) + head * view.strides[0] + row * view.strides[1];
}

std::size_t cells_of(const AttentionMapArgs& args) {
  return args.pooled_mean.empty() ? args.pooled_maximum.shape[1] : args.pooled_mean.shape[1];
}

HeadSums no_sums(const AttentionMapArgs& args) {
  const std::size_t queries = args.query.shape[1], keys = args.key.shape[1], cells = cells_of(args) * cells_of(args);
  return {std::vector<double>(keys), std::vector<double>(std::max(queries, keys)), std::vector<double>(cells),
          std::vector<double>(cells), std::vector<std::size_t>(cells)};
}

void add_row(const AttentionMapArgs& args, std::size_t query, const std::vector<double>& weights, HeadSums& sums) {
  const std::size_t queries = args.query.shape[1], keys = weights.size(), cells = cells_of(args);
  for (std::size_t key = 0; key < keys; ++key) {
    const std::size_t at = query + keys, diagonal = key + queries;  // of i + T_k and j + T_q: their distance
    sums.received[key] += weights[key];
    sums.by_distance[at > diagonal ? at - diagonal : diagonal - at] += weights[key];
    if (cells == 0) continue;
    const std::size_t cell = query * cells / queries * cells + key * cells / keys;
    sums.cell_sums[cell] += weights[key];
    sums.cell_maxima[cell] = std::max(sums.cell_maxima[cell], weights[key]);
    ++sums.cell_pairs[cell];
  }
}

void write_top(const AttentionMapArgs& args, std::size_t head, std::size_t query, const std::vector<double>& scores,
               const std::vector<double>& weights) {
  if (args.top_index.empty()) return;
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::erase_if(order, [&](std::size_t key) { return !is_visible(args, query, key); });
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
  auto* index = row_of<std::int32_t>(args.top_index, head, query);
  auto* weight = row_of<float>(args.top_weight, head, query);
  for (std::size_t n = 0; n < args.top_index.shape[2]; ++n) {
    index[n] = n < order.size() ? static_cast<std::int32_t>(order[n]) : -1;
    weight[n] = n < order.size() ? static_cast<float>(weights[order[n]]) : 0.0f;
  }
}

void write_rectangle(const AttentionMapArgs& args, std::size_t head, std::size_t query,
                     const std::vector<double>& weights) {
  const auto& rectangle = args.rectangle;
  if (rectangle.empty() || query < args.first_query || query >= args.first_query + rectangle.shape[1]) return;
  auto* row = row_of<float>(rectangle, head, query - args.first_query);
  for (std::size_t c = 0; c < rectangle.shape[2]; ++c) row[c] = static_cast<float>(weights[args.first_key + c]);
}

void write_sums(const AttentionMapArgs& args, std::size_t head, const HeadSums& sums) {
  const auto narrow = [](double x) { return static_cast<float>(x); };
  if (!args.received.empty())
    std::transform(sums.received.begin(), sums.received.end(), args.received.row(head), narrow);
  if (!args.by_distance.empty())
    std::transform(sums.by_distance.begin(), sums.by_distance.end(), args.by_distance.row(head), narrow);
  const std::size_t cells = cells_of(args);
  for (std::size_t cell = 0; cell < cells * cells; ++cell) {
    const double pairs = static_cast<double>(std::max<std::size_t>(sums.cell_pairs[cell], 1));
    if (!args.pooled_mean.empty())
      row_of<float>(args.pooled_mean, head, cell / cells)[cell % cells] = narrow(sums.cell_sums[cell] / pairs);
    if (!args.pooled_maximum.empty())
      row_of<float>(args.pooled_maximum, head, cell / cells)[cell % cells] = narrow(sums.cell_maxima[cell]);
  }
}

}  // namespace

void attention_map(const AttentionMapArgs& args) {
  const std::size_t keys = args.key.shape[1];
  std::vector<double> scores(keys), weights(keys);
  for (std::size_t head = 0; head < args.query.shape[0]; ++head) {
    HeadSums sums = no_sums(args);
    for (std::size_t query = 0; query < args.query.shape[1]; ++query) {
      score_row(args, head, query, scores);
      const double log_sum_exp = args.log_sum_exp.row(head)[query];
      for (std::size_t key = 0; key < keys; ++key)
        weights[key] = is_visible(args, query, key) ? std::exp(scores[key] - log_sum_exp) : 0.0;
      add_row(args, query, weights, sums);
      write_top(args, head, query, scores, weights);
      write_rectangle(args, head, query, weights);
    }
    write_sums(args, head, sums);
  }
}

}  // namespace lexiscope::reference
