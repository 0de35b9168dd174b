// What language models add to a transformer's operations, against the reference: the gated perceptron and the head.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "host/analysis/validation_products.h"
#include "host/analysis/validation_run.h"

namespace lexiscope {
namespace {

struct GatedProblem {
  std::size_t rows, d, m;
  std::vector<float> x, gate, up, down;

  std::vector<float> run(Engine& engine) const {
    const auto packed_gate = engine.pack({gate.data(), m, d, d}), packed_up = engine.pack({up.data(), m, d, d}),
               packed_down = engine.pack({down.data(), d, m, m});
    std::vector<float> y(rows * d);
    engine.swiglu_mlp({.x = {x.data(), rows, d, d},
                       .gate = packed_gate.get(),
                       .up = packed_up.get(),
                       .down = packed_down.get(),
                       .residual = {x.data(), rows, d, d},
                       .y = {y.data(), rows, d, d}});
    return y;
  }
};

// Hidden unit j is a product of s = silu(gate) and up, each off by e_s and e_u: |up| e_s + |s| e_u + e_s e_u, and one
// rounding. An error e_j of it becomes |w_ij| e_j in y_i, besides what the second product rounds.
void compare_gated(ValidationRun& run, const GatedProblem& problem) {
  const std::vector<float> got = problem.run(run.engine), want = problem.run(run.reference);
  const std::size_t d = problem.d, m = problem.m;
  std::vector<double> hidden(m), hidden_bound(m);
  for (std::size_t t = 0; t < problem.rows; ++t) {
    for (std::size_t j = 0; j < m; ++j) {
      const Product gate = product_of(&problem.x[t * d], &problem.gate[j * d], d, 0),
                    up = product_of(&problem.x[t * d], &problem.up[j * d], d, 0);
      const double s = activate(Activation::silu, gate.sum), up_bound = sum_bound(d, up.magnitude);
      const double s_bound =
          slope_bound(Activation::silu) * sum_bound(d, gate.magnitude) + activation_bound(Activation::silu, s);
      hidden[j] = s * up.sum;
      const double bound = std::abs(up.sum) * s_bound + std::abs(s) * up_bound + s_bound * up_bound;
      hidden_bound[j] = bound + kUnitF32 * (std::abs(hidden[j]) + bound);
    }
    for (std::size_t i = 0; i < d; ++i) {
      double magnitude = 0, carried = 0;
      for (std::size_t j = 0; j < m; ++j) {
        magnitude += std::abs(hidden[j] * problem.down[i * m + j]);
        carried += std::abs(problem.down[i * m + j]) * hidden_bound[j];
      }
      const std::size_t at = t * d + i;
      run.add(got[at], want[at],
              carried + sum_bound(m, magnitude + carried) +
                  kUnitF32 * (2 * std::abs(double(want[at])) + std::abs(double(problem.x[at]))));
    }
  }
}

struct HeadProblem {
  std::size_t rows, d, vocabulary;
  std::vector<float> x, head, bias;
  std::vector<std::int32_t> target;

  struct Result {
    std::vector<float> log_prob, entropy;
  };
  Result run(Engine& engine) const {
    const auto packed = engine.pack({head.data(), vocabulary, d, d});
    Result result{std::vector<float>(rows), std::vector<float>(rows)};
    engine.certainty({.x = {x.data(), rows, d, d},
                      .head = packed.get(),
                      .bias = {bias.data(), vocabulary},
                      .target = {target.data(), rows},
                      .target_log_prob = {result.log_prob.data(), rows},
                      .entropy = {result.entropy.data(), rows}});
    return result;
  }
};

// A weight exp(s - r), r at most 8 below the largest logit, is off by (2 D + 6) u of itself beside the logit's own
// error, D = |s - max| + 8. The log of the sum moves by the mean of these under p, log p by that and the logit's own
// error; the entropy, lse - sum p s, by the mean of |s - mean| times these and of the products' 3 u D.
void compare_head(ValidationRun& run, const HeadProblem& problem) {
  const HeadProblem::Result got = problem.run(run.engine), want = problem.run(run.reference);
  std::vector<Product> logits(problem.vocabulary);
  for (std::size_t t = 0; t < problem.rows; ++t) {
    double maximum = -INFINITY, sum = 0, mean = 0, log_sum_bound = 0, entropy_bound = 0;
    for (std::size_t v = 0; v < problem.vocabulary; ++v) {
      logits[v] = product_of(&problem.x[t * problem.d], &problem.head[v * problem.d], problem.d, problem.bias[v]);
      maximum = std::max(maximum, logits[v].sum);
    }
    for (const Product& logit : logits) {
      sum += std::exp(logit.sum - maximum);
      mean += logit.sum * std::exp(logit.sum - maximum);
    }
    mean /= sum;
    for (const Product& logit : logits) {
      const double p = std::exp(logit.sum - maximum) / sum, distance = std::abs(logit.sum - maximum) + 8;
      const double off = sum_bound(problem.d, logit.magnitude) + (2 * distance + 6) * kUnitF32;
      log_sum_bound += p * off;
      entropy_bound += p * (std::abs(logit.sum - mean) * off + 3 * kUnitF32 * distance);
    }
    const double own = sum_bound(problem.d, logits[static_cast<std::size_t>(problem.target[t])].magnitude);
    run.add(got.log_prob[t], want.log_prob[t], log_sum_bound + own + 2 * kUnitF32 * (1 + std::abs(want.log_prob[t])));
    run.add(got.entropy[t], want.entropy[t], entropy_bound + 2 * kUnitF32 * (1 + std::abs(want.entropy[t])));
  }
}

}  // namespace

void validate_swiglu_mlp(ValidationRun& run) {
  for (const std::size_t rows : {1, 33})
    for (const auto& [d, m] : {std::pair<std::size_t, std::size_t>{3, 7}, {31, 129}, {129, 500}}) {
      run.start(fmt::format("T {}, d {}, m {}", rows, d, m));
      const double into_d = 1 / std::sqrt(double(d)), into_m = 1 / std::sqrt(double(m));
      compare_gated(run, {rows, d, m, run.normal(rows * d), run.normal(m * d, 0, 2 * into_d),
                          run.normal(m * d, 0, into_d), run.normal(d * m, 0, into_m)});
    }
}

void validate_certainty(ValidationRun& run) {
  for (const std::size_t rows : {1, 17, 65})
    for (const auto& [d, vocabulary] : {std::pair<std::size_t, std::size_t>{1, 2}, {31, 333}, {129, 5000}}) {
      run.start(fmt::format("T {}, d {}, V {}", rows, d, vocabulary));
      std::vector<std::int32_t> target(rows);
      for (std::size_t t = 0; t < rows; ++t) target[t] = static_cast<std::int32_t>(t * 7919 % vocabulary);
      compare_head(run, {rows, d, vocabulary, run.normal(rows * d),
                         run.normal(vocabulary * d, 0, 2 / std::sqrt(double(d))), run.normal(vocabulary), target});
    }
}

}  // namespace lexiscope
