// A row's logits whole, in double, and what the definitions make of them.
#include "kernels/reference/certainty.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

namespace lexiscope::reference {
namespace {

void logits_of(const CertaintyArgs& args, const Weight& head, std::size_t row, std::vector<double>& logits) {
  for (std::size_t token = 0; token < head.out(); ++token)
    logits[token] = head.product(args.x.row(row), token, args.bias);
}

void write_top(const CertaintyArgs& args, std::size_t row, const std::vector<double>& logits, double log_sum_exp) {
  std::vector<std::int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) {
    return logits[static_cast<std::size_t>(a)] > logits[static_cast<std::size_t>(b)];
  });
  for (std::size_t i = 0; i < args.top_id.columns; ++i) {
    args.top_id.row(row)[i] = order[i];
    args.top_log_prob.row(row)[i] = static_cast<float>(logits[static_cast<std::size_t>(order[i])] - log_sum_exp);
  }
}

void write_target(const CertaintyArgs& args, std::size_t row, const std::vector<double>& logits, double log_sum_exp) {
  const std::int32_t target = args.target.empty() ? -1 : args.target[row];
  double log_prob = std::numeric_limits<double>::quiet_NaN();
  std::int32_t rank = 0;
  if (target >= 0) {
    const double logit = logits[static_cast<std::size_t>(target)];
    log_prob = logit - log_sum_exp;
    rank = 1 + static_cast<std::int32_t>(
                   std::count_if(logits.begin(), logits.end(), [&](double other) { return other > logit; }));
  }
  if (!args.target_log_prob.empty()) args.target_log_prob[row] = static_cast<float>(log_prob);
  if (!args.target_rank.empty()) args.target_rank[row] = rank;
}

}  // namespace

void certainty(const CertaintyArgs& args, const Weight& head) {
  std::vector<double> logits(head.out());
  for (std::size_t row = 0; row < args.x.rows; ++row) {
    logits_of(args, head, row, logits);
    const double maximum = *std::max_element(logits.begin(), logits.end());
    double sum = 0, entropy = 0;
    for (const double logit : logits) sum += std::exp(logit - maximum);
    const double log_sum_exp = maximum + std::log(sum);
    for (const double logit : logits) entropy -= std::exp(logit - log_sum_exp) * (logit - log_sum_exp);
    if (!args.entropy.empty()) args.entropy[row] = static_cast<float>(entropy);
    write_target(args, row, logits, log_sum_exp);
    if (!args.top_id.empty()) write_top(args, row, logits, log_sum_exp);
  }
}

}  // namespace lexiscope::reference
