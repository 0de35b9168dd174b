// The attention map's observables against the reference.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "host/analysis/validation_run.h"

namespace lexiscope {
namespace {

constexpr std::size_t kHeads = 2;

struct MapProblem {
  std::size_t queries, keys, d;
  AttentionMask mask;
  std::vector<float> query, key, log_sum_exp;

  float scale() const { return 1 / std::sqrt(static_cast<float>(d)); }
  std::array<std::size_t, 3> shape() const { return {kHeads, queries, d}; }
  ConstTensorView queries_view() const { return dense_view<const void>(query.data(), DType::f32, shape()); }
  ConstTensorView keys_view() const {
    return dense_view<const void>(key.data(), DType::f32, std::array<std::size_t, 3>{1, keys, d});
  }
};

// Attention whose values are the keys.
AttentionArgs attention_args(const MapProblem& problem, std::vector<float>& out, std::vector<float>& log_sum_exp) {
  out.resize(kHeads * problem.queries * problem.d);
  log_sum_exp.resize(kHeads * problem.queries);
  return {.query = problem.queries_view(),
          .key = problem.keys_view(),
          .value = problem.keys_view(),
          .out = dense_view<void>(out.data(), DType::f32, problem.shape()),
          .scale = problem.scale(),
          .mask = problem.mask,
          .statistics = {.log_sum_exp = {log_sum_exp.data(), kHeads, problem.queries, problem.queries}}};
}

struct MapResult {
  std::vector<float> weights, received;
};

AttentionMapArgs map_args(const MapProblem& problem, const std::vector<float>& log_sum_exp, MapResult& result) {
  const std::size_t queries = problem.queries, keys = problem.keys;
  result = {std::vector<float>(kHeads * queries * keys), std::vector<float>(kHeads * keys)};
  return {.query = problem.queries_view(),
          .key = problem.keys_view(),
          .scale = problem.scale(),
          .mask = problem.mask,
          .log_sum_exp = {log_sum_exp.data(), kHeads, queries, queries},
          .received = {result.received.data(), kHeads, keys, keys},
          .rectangle = dense_view<void>(result.weights.data(), DType::f32, std::array{kHeads, queries, keys})};
}

MapResult run_map(Engine& engine, const MapProblem& problem) {
  MapResult result;
  engine.attention_map(map_args(problem, problem.log_sum_exp, result));
  return result;
}

MapResult run_with_attention(Engine& engine, const MapProblem& problem) {
  MapResult result;
  std::vector<float> out, log_sum_exp;
  const AttentionArgs attention = attention_args(problem, out, log_sum_exp);
  engine.attention_with_map(attention, map_args(problem, log_sum_exp, result));
  return result;
}

double absolute_score(const MapProblem& problem, std::size_t row, std::size_t key) {
  double sum = 0;
  for (std::size_t c = 0; c < problem.d; ++c)
    sum += std::abs(double(problem.query[row * problem.d + c]) * problem.key[key * problem.d + c]);
  return problem.scale() * sum;
}

// A score is a chain of d products and a scale, (d + 2) u A with A the largest sum of a row's absolute terms; the
// exponent's parts and their difference round by 4 (A + |lse|) u, a power of two errs by 4 u: a weight is off by
// u ((d + 6) A + 4 |lse| + 15) of itself. What a key receives sums T_q weights. Together with attention the log-sum-exp
// is the engine's own, off by u ((d + 7) A + 15 + n + 2 |lse|) with n the additions in a row (validate_layers.cpp), and
// weights below 2^-100 count as 0.
enum class LogSumExp { given, own };

void compare_map(ValidationRun& run, const MapProblem& problem, const MapResult& want, LogSumExp log_sum_exp) {
  const bool own = log_sum_exp == LogSumExp::own;
  const MapResult got = own ? run_with_attention(run.engine, problem) : run_map(run.engine, problem);
  const auto queries = static_cast<double>(problem.queries), keys = static_cast<double>(problem.keys),
             d = static_cast<double>(problem.d);
  const double additions = std::min(keys, 96.0) + keys / 96 + 2, faintest = own ? 0x1p-100 : 0x1p-126;
  std::vector<double> received_bound(want.received.size());
  for (std::size_t row = 0; row < kHeads * problem.queries; ++row) {
    double spread = 0;
    for (std::size_t key = 0; key < problem.keys; ++key) spread = std::max(spread, absolute_score(problem, row, key));
    const double lse = std::abs(problem.log_sum_exp[row]);
    double share = (d + 6) * spread + 4 * lse + 15;
    if (own) share += (d + 7) * spread + 15 + additions + 2 * lse;
    if (std::isinf(lse)) share = 0;
    for (std::size_t key = 0; key < problem.keys; ++key) {
      const std::size_t at = row * problem.keys + key;
      const double bound = kUnitF32 * share * want.weights[at] + faintest;
      run.add(got.weights[at], want.weights[at], bound);
      received_bound[row / problem.queries * problem.keys + key] += bound + (queries + 3) * kUnitF32 * want.weights[at];
    }
  }
  for (std::size_t at = 0; at < want.received.size(); ++at)
    run.add(got.received[at], want.received[at], received_bound[at]);
}

}  // namespace

void validate_attention_map(ValidationRun& run) {
  for (const auto mask : {AttentionMask::none, AttentionMask::causal})
    for (const auto& [queries, keys] : {std::pair<std::size_t, std::size_t>{1, 1}, {3, 17}, {33, 65}, {129, 300}})
      for (const std::size_t d : {16, 64, 129}) {
        run.start(fmt::format("T_q {}, T_k {}, d_k {}, {}", queries, keys, d,
                              mask == AttentionMask::causal ? "causal" : "no mask"));
        MapProblem problem{queries, keys, d, mask, run.normal(kHeads * queries * d), run.normal(keys * d), {}};
        std::vector<float> out;
        run.reference.attention(attention_args(problem, out, problem.log_sum_exp));
        const MapResult want = run_map(run.reference, problem);
        compare_map(run, problem, want, LogSumExp::given);
        compare_map(run, problem, want, LogSumExp::own);
      }
}

}  // namespace lexiscope
