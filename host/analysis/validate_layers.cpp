// A transformer's operations against the reference. Bounds in units of u = 2^-24, for one element at a time.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "host/analysis/validation_products.h"
#include "host/analysis/validation_run.h"

namespace lexiscope {
namespace {

struct AttentionProblem {
  std::size_t queries, keys, d;
  AttentionMask mask;
  std::vector<float> query, key, value;

  static constexpr std::size_t kHeads = 2;
};

struct AttentionResult {
  std::vector<float> out, log_sum_exp, entropy, maximum;
};

AttentionResult run_attention(Engine& engine, const AttentionProblem& problem) {
  const auto [queries, keys, d, mask, query, key, value] = problem;
  const std::size_t heads = AttentionProblem::kHeads;
  const std::size_t query_shape[] = {heads, queries, d}, key_shape[] = {1, keys, d};
  AttentionResult result{std::vector<float>(heads * queries * d), std::vector<float>(heads * queries), {}, {}};
  result.entropy = result.maximum = result.log_sum_exp;
  engine.attention({.query = dense_view<const void>(query.data(), DType::f32, query_shape),
                    .key = dense_view<const void>(key.data(), DType::f32, key_shape),
                    .value = dense_view<const void>(value.data(), DType::f32, key_shape),
                    .out = dense_view<void>(result.out.data(), DType::f32, query_shape),
                    .scale = 1 / std::sqrt(static_cast<float>(d)),
                    .mask = mask,
                    .statistics = {.log_sum_exp = {result.log_sum_exp.data(), heads, queries, queries},
                                   .entropy = {result.entropy.data(), heads, queries, queries},
                                   .maximum = {result.maximum.data(), heads, queries, queries}}});
  return result;
}

void make_positive(std::vector<float>& values) {
  for (float& value : values) value = std::abs(value);
}

// A score is a chain of d products, off by (d + 1) u A, A = max_j scale sum_c |q_ic k_jc|; its exponent, at most
// 2 A + 6 wide, rounds once, a power of two errs by 4 u, and raising a running maximum costs 2 A u + 5 u for each of
// at most 1 + 2 A / 5.5 times: a weight is off by u ((d + 7) A + 15) of itself. Sums add n = min(keys, 96) +
// keys / 96 + 2 terms in a row. Numerator and denominator each err by weight + n u, the quotient by 4 u more. The
// sums of absolute terms come from the reference itself, on absolute values.
void compare_attention(ValidationRun& run, const AttentionProblem& problem) {
  const AttentionResult got = run_attention(run.engine, problem), want = run_attention(run.reference, problem);
  AttentionProblem positive = problem;
  make_positive(positive.value);
  const auto absolute_values = run_attention(run.reference, positive).out;
  make_positive(positive.query);
  make_positive(positive.key);
  const auto absolute_scores = run_attention(run.reference, positive).maximum;
  const auto keys = static_cast<double>(problem.keys), d = static_cast<double>(problem.d);
  const double additions = std::min(keys, 96.0) + keys / 96 + 2;
  for (std::size_t row = 0; row < want.maximum.size(); ++row) {
    const double spread = std::max(0.0f, absolute_scores[row]);
    const double weight = kUnitF32 * ((d + 7) * spread + 15), sum = weight + additions * kUnitF32;
    for (std::size_t i = row * problem.d; i < (row + 1) * problem.d; ++i)
      run.add(got.out[i], want.out[i], (2 * sum + 4 * kUnitF32) * absolute_values[i]);
    const double width = want.maximum[row] + want.entropy[row] - want.log_sum_exp[row] + 6;
    run.add(got.log_sum_exp[row], want.log_sum_exp[row], sum + 2 * kUnitF32 * std::abs(want.log_sum_exp[row]));
    run.add(got.maximum[row], want.maximum[row], kUnitF32 * (d + 3) * spread);
    run.add(got.entropy[row], want.entropy[row],
            2 * sum * (1 + width) + weight + sum + 2 * kUnitF32 * (want.entropy[row] + 1));
  }
}

const char* name_of_activation(Activation activation) {
  constexpr const char* kNames[] = {"none", "gelu_erf", "gelu_tanh", "silu"};
  return kNames[static_cast<std::size_t>(activation)];
}

}  // namespace

void validate_attention(ValidationRun& run) {
  for (const auto mask : {AttentionMask::none, AttentionMask::causal})
    for (const auto& [queries, keys] : {std::pair<std::size_t, std::size_t>{1, 1}, {3, 17}, {33, 65}, {129, 300}})
      for (const std::size_t d : {16, 64, 129}) {
        run.start(fmt::format("T_q {}, T_k {}, d_k {}, {}", queries, keys, d,
                              mask == AttentionMask::causal ? "causal" : "no mask"));
        compare_attention(run, {queries, keys, d, mask, run.normal(AttentionProblem::kHeads * queries * d),
                                run.normal(keys * d), run.normal(keys * d, 0.5)});
      }
}

// s = x + residual rounds once; a mean of d values summed in at least 4 chains is off by (d / 4 + 5) u max|s|; both
// are divided by the deviation. The variance and its root add (d / 4 + 11) u of |y - bias|; three roundings follow.
void validate_layer_norm(ValidationRun& run) {
  for (const std::size_t rows : {1, 33})
    for (const std::size_t d : {1, 2, 17, 129, 384}) {
      run.start(fmt::format("T {}, d {}", rows, d));
      const auto x = run.normal(rows * d, 10), residual = run.normal(rows * d);
      const auto gain = run.normal(d, 1), bias = run.normal(d);
      std::vector<float> got(rows * d), want(rows * d);
      const auto apply = [&](Engine& engine, std::vector<float>& y) {
        engine.layer_norm({.x = {x.data(), rows, d, d},
                           .residual = {residual.data(), rows, d, d},
                           .gain = {gain.data(), d},
                           .bias = {bias.data(), d},
                           .y = {y.data(), rows, d, d}});
      };
      apply(run.engine, got);
      apply(run.reference, want);
      const double chain = static_cast<double>(d) / 4 + 5;
      for (std::size_t t = 0; t < rows; ++t) {
        double largest = 0, mean = 0, variance = 0;
        const auto s = [&](std::size_t i) { return double(x[t * d + i]) + residual[t * d + i]; };
        for (std::size_t i = 0; i < d; ++i) {
          largest = std::max(largest, std::abs(s(i)));
          mean += s(i) / static_cast<double>(d);
        }
        for (std::size_t i = 0; i < d; ++i) variance += (s(i) - mean) * (s(i) - mean) / static_cast<double>(d);
        for (std::size_t i = 0; i < d; ++i) {
          const double y = want[t * d + i], shift = std::abs(gain[i]) * (chain + 2) * largest;
          run.add(
              got[t * d + i], y,
              kUnitF32 * (shift / std::sqrt(variance + 1e-5) + (chain + 6) * std::abs(y - bias[i]) + 3 * std::abs(y)));
        }
      }
    }
}

void validate_linear(ValidationRun& run) {
  for (const auto activation : {Activation::none, Activation::gelu_erf, Activation::gelu_tanh})
    for (const std::size_t rows : {1, 17, 65})
      for (const std::size_t in : {1, 31, 384})
        for (const std::size_t out : {3, 129}) {
          run.start(fmt::format("T {}, in {}, out {}, {}", rows, in, out, name_of_activation(activation)));
          const auto x = run.normal(rows * in), weight = run.normal(out * in), bias = run.normal(out);
          const auto residual = run.normal(rows * out);
          std::vector<float> got(rows * out), want(rows * out);
          const auto apply = [&](Engine& engine, std::vector<float>& y) {
            const auto packed = engine.pack({weight.data(), out, in, in});
            engine.linear({.x = {x.data(), rows, in, in},
                           .weight = packed.get(),
                           .bias = {bias.data(), out},
                           .activation = activation,
                           .residual = {residual.data(), rows, out, out},
                           .y = {y.data(), rows, out, out}});
          };
          apply(run.engine, got);
          apply(run.reference, want);
          for (std::size_t i = 0; i < rows * out; ++i) {
            const std::size_t t = i / out, o = i % out;
            const Product product = product_of(&x[t * in], &weight[o * in], in, bias[o]);
            const double active = activate(activation, product.sum);
            const double stored = 2 * std::abs(double(want[i])) + std::abs(double(residual[i]));
            run.add(got[i], want[i],
                    slope_bound(activation) * sum_bound(in, product.magnitude) + activation_bound(activation, active) +
                        kUnitF32 * stored);
          }
        }
}

// An error e_j of hidden unit j becomes |w_ij| e_j in y_i, besides what the second product rounds.
void validate_gelu_mlp(ValidationRun& run) {
  for (const auto activation : {Activation::gelu_erf, Activation::gelu_tanh})
    for (const std::size_t rows : {1, 33})
      for (const auto& [d, m] : {std::pair<std::size_t, std::size_t>{3, 7}, {31, 129}, {129, 500}}) {
        run.start(fmt::format("T {}, d {}, m {}, {}", rows, d, m, name_of_activation(activation)));
        const auto x = run.normal(rows * d), up_bias = run.normal(m), down_bias = run.normal(d);
        const auto up = run.normal(m * d, 0, 1 / std::sqrt(double(d)));
        const auto down = run.normal(d * m, 0, 1 / std::sqrt(double(m)));
        std::vector<float> got(rows * d), want(rows * d);
        const auto apply = [&, width = d, inner = m](Engine& engine, std::vector<float>& y) {
          const auto packed_up = engine.pack({up.data(), inner, width, width});
          const auto packed_down = engine.pack({down.data(), width, inner, inner});
          engine.gelu_mlp({.x = {x.data(), rows, width, width},
                           .up = packed_up.get(),
                           .up_bias = {up_bias.data(), inner},
                           .down = packed_down.get(),
                           .down_bias = {down_bias.data(), width},
                           .activation = activation,
                           .residual = {x.data(), rows, width, width},
                           .y = {y.data(), rows, width, width}});
        };
        apply(run.engine, got);
        apply(run.reference, want);
        std::vector<double> hidden(m), hidden_bound(m);
        for (std::size_t t = 0; t < rows; ++t) {
          for (std::size_t j = 0; j < m; ++j) {
            const Product product = product_of(&x[t * d], &up[j * d], d, up_bias[j]);
            hidden[j] = activate(activation, product.sum);
            hidden_bound[j] =
                slope_bound(activation) * sum_bound(d, product.magnitude) + activation_bound(activation, hidden[j]);
          }
          for (std::size_t i = 0; i < d; ++i) {
            double magnitude = std::abs(down_bias[i]), carried = 0;
            for (std::size_t j = 0; j < m; ++j) {
              magnitude += std::abs(hidden[j] * down[i * m + j]);
              carried += std::abs(down[i * m + j]) * hidden_bound[j];
            }
            const std::size_t at = t * d + i;
            run.add(got[at], want[at],
                    sum_bound(m, magnitude + carried) + carried +
                        kUnitF32 * (2 * std::abs(double(want[at])) + std::abs(double(x[at]))));
          }
        }
      }
}

}  // namespace lexiscope
