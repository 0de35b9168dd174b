// Attention as the paper writes it, in double: a row of scores, its softmax, the weighted mean of the values.
#include "kernels/reference/attention.h"

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/reference/attention_scores.h"

namespace lexiscope::reference {
namespace {

void attend_row(const AttentionArgs& args, std::size_t head, std::size_t query, std::vector<double>& scores) {
  const auto& v = args.value;
  const auto& wanted = args.statistics;
  const std::size_t group = head / (args.query.shape[0] / v.shape[0]), d = v.shape[2];
  score_row(args, head, query, scores);

  double maximum = -std::numeric_limits<double>::infinity();
  std::int32_t argmax = -1;
  for (std::size_t key = 0; key < scores.size(); ++key)
    if (scores[key] > maximum) maximum = scores[key], argmax = static_cast<std::int32_t>(key);
  const bool sees_a_key = argmax >= 0;

  double sum = 0;
  for (const double score : scores)
    if (sees_a_key) sum += std::exp(score - maximum);
  const double log_sum_exp = sees_a_key ? maximum + std::log(sum) : maximum;

  double entropy = 0;
  std::vector<double> out(d, 0.0);
  for (std::size_t key = 0; key < scores.size(); ++key) {
    const double weight = sees_a_key ? std::exp(scores[key] - log_sum_exp) : 0.0;
    if (weight == 0) continue;
    entropy -= weight * (scores[key] - log_sum_exp);
    for (std::size_t c = 0; c < d; ++c) out[c] += weight * element(v, group * v.strides[0] + key * v.strides[1] + c);
  }

  auto* row = static_cast<float*>(args.out.data) + head * args.out.strides[0] + query * args.out.strides[1];
  for (std::size_t c = 0; c < d; ++c) row[c] = static_cast<float>(out[c]);
  if (!wanted.log_sum_exp.empty()) wanted.log_sum_exp.row(head)[query] = static_cast<float>(log_sum_exp);
  if (!wanted.entropy.empty()) wanted.entropy.row(head)[query] = static_cast<float>(entropy);
  if (!wanted.maximum.empty()) wanted.maximum.row(head)[query] = static_cast<float>(maximum);
  if (!wanted.argmax.empty()) wanted.argmax.row(head)[query] = argmax;
}

}  // namespace

void attention(const AttentionArgs& args) {
  std::vector<double> scores(args.key.shape[1]);
  for (std::size_t head = 0; head < args.query.shape[0]; ++head)
    for (std::size_t query = 0; query < args.query.shape[1]; ++query) attend_row(args, head, query, scores);
}

}  // namespace lexiscope::reference
