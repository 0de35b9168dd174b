// The gated perceptron of every engine against the reference at odd shapes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <optional>
#include <tuple>
#include <vector>

#include "kernels/reference/activation.h"
#include "lexiscope/engine.h"
#include "tests/support/bf16.h"
#include "tests/support/compare.h"
#include "tests/support/engines.h"
#include "tests/support/errors.h"
#include "tests/support/product_bounds.h"

namespace lexiscope::testing {
namespace {

using ::testing::HasSubstr;

enum class Residual { none, x, is_y };

struct Variant {
  bool with_bias = false;
  Residual residual = Residual::x;
};

struct Problem {
  std::size_t rows, d, m;
  DType precision = DType::f32;                       // of the weights
  std::optional<DType> gate_precision, up_precision;  // where it is another
  std::vector<float> x, gate, up, down, gate_bias, up_bias, down_bias, residual;

  Problem(std::size_t rows_, std::size_t d_, std::size_t m_) : rows(rows_), d(d_), m(m_) {
    const auto seed = static_cast<unsigned>(rows * 1009 + d * 31 + m);
    const float into_d = 1 / std::sqrt(static_cast<float>(d)), into_m = 1 / std::sqrt(static_cast<float>(m));
    x = random_normal(rows * d, seed);
    gate = random_normal(m * d, seed + 1, 0, 2 * into_d);
    up = random_normal(m * d, seed + 2, 0, into_d);
    down = random_normal(d * m, seed + 3, 0, into_m);
    gate_bias = random_normal(m, seed + 4);
    up_bias = random_normal(m, seed + 5);
    down_bias = random_normal(d, seed + 6);
    residual = random_normal(rows * d, seed + 7);
  }

  std::vector<float> run(Engine& engine, const Variant& variant) const {
    const auto packed_gate = engine.pack({gate.data(), m, d, d}, gate_precision.value_or(precision)),
               packed_up = engine.pack({up.data(), m, d, d}, up_precision.value_or(precision)),
               packed_down = engine.pack({down.data(), d, m, m}, precision);
    std::vector<float> y = variant.residual == Residual::is_y ? residual : std::vector<float>(rows * d);
    SwigluMlpArgs args{.x = {x.data(), rows, d, d},
                       .gate = packed_gate.get(),
                       .up = packed_up.get(),
                       .down = packed_down.get(),
                       .y = {y.data(), rows, d, d}};
    if (variant.with_bias) {
      args.gate_bias = {gate_bias.data(), m};
      args.up_bias = {up_bias.data(), m};
      args.down_bias = {down_bias.data(), d};
    }
    if (variant.residual == Residual::x) args.residual = args.x;
    if (variant.residual == Residual::is_y) args.residual = args.y;
    engine.swiglu_mlp(args);
    return y;
  }

  // One unit's sum and the bound of its error.
  std::pair<double, double> unit(const std::vector<float>& weight, const float* bias, std::size_t t,
                                 std::size_t j) const {
    double sum = bias ? bias[j] : 0, magnitude = std::abs(sum);
    for (std::size_t k = 0; k < d; ++k) {
      const double term = double{x[t * d + k]} * weight[j * d + k];
      sum += term;
      magnitude += std::abs(term);
    }
    return {sum, sum_bound(d, magnitude, precision)};
  }

  // In bf16 hidden units are rounded, and near a tie the two sides may round apart: by one step, 2^-7 of the unit.
  double rounding_bound(double unit) const { return precision == DType::bf16 ? 0x1p-7 * std::abs(unit) : 0; }

  // Hidden unit j is a product of s = silu(gate) and up, each off by e_s and e_u: |up| e_s + |s| e_u + e_s e_u, and one
  // rounding. An error e_j of hidden unit j becomes |w_ij| e_j in y_i.
  double worst_share(const std::vector<float>& got, const std::vector<float>& want, const Variant& variant) const {
    double worst = 0;
    std::vector<double> hidden(m), hidden_bound(m);
    for (std::size_t t = 0; t < rows; ++t) {
      for (std::size_t j = 0; j < m; ++j) {
        const auto [g, g_bound] = unit(gate, variant.with_bias ? gate_bias.data() : nullptr, t, j);
        const auto [u, u_bound] = unit(up, variant.with_bias ? up_bias.data() : nullptr, t, j);
        const double s = reference::activate(Activation::silu, g);
        const double s_bound = slope_bound(Activation::silu) * g_bound + activation_bound(Activation::silu, s);
        hidden[j] = s * u;
        hidden_bound[j] = std::abs(u) * s_bound + std::abs(s) * u_bound + s_bound * u_bound;
        hidden_bound[j] += kUnitF32 * (std::abs(hidden[j]) + hidden_bound[j]) + rounding_bound(hidden[j]);
      }
      for (std::size_t i = 0; i < d; ++i) {
        double magnitude = variant.with_bias ? std::abs(down_bias[i]) : 0, carried = 0;
        for (std::size_t j = 0; j < m; ++j) {
          magnitude += std::abs(hidden[j] * down[i * m + j]);
          carried += std::abs(down[i * m + j]) * hidden_bound[j];
        }
        const std::size_t at = t * d + i;
        const double r = variant.residual == Residual::none ? 0
                         : variant.residual == Residual::x  ? x[at]
                                                            : residual[at];
        const double bound = carried + sum_bound(m, magnitude + carried, precision) + store_bound(want[at], r);
        worst = std::max(worst, error_share(got[at], want[at], bound));
      }
    }
    return worst;
  }
};

class SwigluMlp : public ::testing::TestWithParam<std::tuple<std::string, std::size_t, std::size_t, std::size_t>> {};

TEST_P(SwigluMlp, AgreesWithTheReference) {
  const auto [engine, rows, d, m] = GetParam();
  const Problem problem(rows, d, m);
  const auto want = problem.run(*make_engine("reference"), {});
  EXPECT_LE(problem.worst_share(problem.run(*make_test_engine(engine), {}), want, {}), 1.0);
}

TEST_P(SwigluMlp, AgreesWithTheReferenceInBf16) {
  const auto [engine, rows, d, m] = GetParam();
  Problem problem(rows, d, m);
  for (auto* values : {&problem.x, &problem.gate, &problem.up, &problem.down}) round_to_bf16(*values);
  problem.precision = DType::bf16;
  const auto want = problem.run(*make_engine("reference"), {});
  EXPECT_LE(problem.worst_share(problem.run(*make_test_engine(engine), {}), want, {}), 1.0);
}

INSTANTIATE_TEST_SUITE_P(OddShapes, SwigluMlp,
                         ::testing::Combine(::testing::ValuesIn(fast_engines()), ::testing::Values(1, 2, 17, 65),
                                            ::testing::Values(1, 48, 127), ::testing::Values(1, 63, 401)),
                         EngineNames());
INSTANTIATE_TEST_SUITE_P(ManyRowsAndBlocks, SwigluMlp,
                         ::testing::Combine(::testing::ValuesIn(fast_engines()), ::testing::Values(65, 300),
                                            ::testing::Values(31, 401), ::testing::Values(129, 775)),
                         EngineNames());
INSTANTIATE_TEST_SUITE_P(ManyMoreRows, SwigluMlp,
                         ::testing::Combine(::testing::ValuesIn(fast_engines()), ::testing::Values(1100),
                                            ::testing::Values(20), ::testing::Values(33)),
                         EngineNames());
INSTANTIATE_TEST_SUITE_P(Emulated, SwigluMlp,
                         ::testing::Combine(::testing::ValuesIn(emulated_product_engines()), ::testing::Values(1, 65),
                                            ::testing::Values(1, 48), ::testing::Values(1, 63, 130)),
                         EngineNames());

class SwigluMlpVariants : public ::testing::TestWithParam<std::tuple<std::string, bool, Residual>> {};

TEST_P(SwigluMlpVariants, AgreeWithTheReference) {
  const auto [engine, with_bias, residual] = GetParam();
  const Variant variant{with_bias, residual};
  for (const std::size_t rows : {13, 70}) {
    const Problem problem(rows, 65, 401);
    const auto want = problem.run(*make_engine("reference"), variant);
    EXPECT_LE(problem.worst_share(problem.run(*make_test_engine(engine), variant), want, variant), 1.0);
  }
}

INSTANTIATE_TEST_SUITE_P(All, SwigluMlpVariants,
                         ::testing::Combine(::testing::ValuesIn(engines_under_test()), ::testing::Bool(),
                                            ::testing::Values(Residual::none, Residual::x, Residual::is_y)),
                         EngineNames());

// By hand: gate log 3, so silu = log 3 * 3/4; up 2; down 4.
TEST(SwigluMlpReference, IsTheFormula) {
  const auto engine = make_engine("reference");
  const float x = 1, gate = std::log(3.0f), up = 2, down = 4;
  float y = 0;
  const auto packed_gate = engine->pack({&gate, 1, 1, 1}), packed_up = engine->pack({&up, 1, 1, 1}),
             packed_down = engine->pack({&down, 1, 1, 1});
  engine->swiglu_mlp({.x = {&x, 1, 1, 1},
                      .gate = packed_gate.get(),
                      .up = packed_up.get(),
                      .down = packed_down.get(),
                      .y = {&y, 1, 1, 1}});
  EXPECT_NEAR(y, 6 * std::log(3.0), 1e-6);
}

TEST(SwigluMlpDeterminism, GivesTheSameBitsForAnyNumberOfThreads) {
  for (const std::string& name : fast_engines())
    for (const std::size_t rows : {1, 5, 47, 48, 65, 200, 300}) {
      const Problem problem(rows, 195, 401);
      const auto one = problem.run(*make_test_engine(name, 1), {});
      for (const int threads : {2, 3, 7}) EXPECT_EQ(problem.run(*make_test_engine(name, threads), {}), one) << rows;
    }
}

// One matrix in bf16 beside two in f32: where its numbers are bf16 already, the result is that of all in f32.
TEST(SwigluMlpPrecision, MayDifferFromMatrixToMatrix) {
  for (const std::string& name : fast_engines())
    for (const std::size_t rows : {3, 70, 200}) {
      Problem problem(rows, 65, 401);
      for (auto* values : {&problem.x, &problem.gate, &problem.up}) round_to_bf16(*values);
      const auto want = problem.run(*make_engine("reference"), {});
      for (auto one : {&Problem::gate_precision, &Problem::up_precision}) {
        Problem mixed = problem;
        mixed.*one = DType::bf16;
        EXPECT_LE(problem.worst_share(mixed.run(*make_test_engine(name, 3), {}), want, {}), 1.0) << name << " " << rows;
      }
    }
}

TEST(SwigluMlpComparison, SeesAPlantedFault) {
  Problem problem(3, 65, 127);
  const auto want = problem.run(*make_engine("reference"), {});
  EXPECT_LE(problem.worst_share(problem.run(*make_engine("cpu"), {}), want, {}), 1.0);
  std::swap(problem.gate, problem.up);
  EXPECT_GT(problem.worst_share(problem.run(*make_engine("cpu"), {}), want, {}), 1.0);
}

TEST(SwigluMlpArguments, NameTheValueThatIsWrong) {
  const auto engine = make_engine("cpu"), reference = make_engine("reference");
  std::vector<float> x(12), y(12), weight(15, 1.0f), bias(4);
  const auto up = engine->pack({weight.data(), 5, 3, 3}), down = engine->pack({weight.data(), 3, 5, 5}),
             narrow = engine->pack({weight.data(), 4, 3, 3});
  const auto foreign = reference->pack({weight.data(), 5, 3, 3});
  const SwigluMlpArgs good{
      .x = {x.data(), 4, 3, 3}, .gate = up.get(), .up = up.get(), .down = down.get(), .y = {y.data(), 4, 3, 3}};
  const auto message = [&](auto&& spoil) {
    SwigluMlpArgs args = good;
    spoil(args);
    return message_of([&] { engine->swiglu_mlp(args); });
  };
  EXPECT_EQ(message([](SwigluMlpArgs&) {}), "no error");
  EXPECT_EQ(message([](SwigluMlpArgs& args) { args.gate = nullptr; }), "swiglu_mlp: gate is null");
  EXPECT_EQ(message([&](SwigluMlpArgs& args) { args.up = foreign.get(); }),
            "swiglu_mlp: up was packed by engine \"reference\", this is \"cpu\"");
  EXPECT_EQ(message([&](SwigluMlpArgs& args) { args.gate = narrow.get(); }),
            "swiglu_mlp: gate is [4, 3], needs [5, 3]");
  EXPECT_EQ(message([&](SwigluMlpArgs& args) { args.down = up.get(); }), "swiglu_mlp: down is [5, 3], needs 5 columns");
  EXPECT_EQ(message([&](SwigluMlpArgs& args) {
              args.gate_bias = {bias.data(), 4};
            }),
            "swiglu_mlp: gate_bias has 4 elements, needs 5");
  EXPECT_EQ(message([](SwigluMlpArgs& args) { args.y.rows = 3; }), "swiglu_mlp: y is [3, 3], needs [4, 3]");
  EXPECT_THAT(message([&](SwigluMlpArgs& args) { args.y.data = x.data(); }), HasSubstr("swiglu_mlp: y overlaps x"));
  EXPECT_EQ(message([](SwigluMlpArgs& args) { args.x.rows = args.y.rows = 0; }), "no error");
}

}  // namespace
}  // namespace lexiscope::testing
