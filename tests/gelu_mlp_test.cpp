// The perceptron of every engine against the reference at odd shapes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
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

enum class Residual { none, x, apart, is_y };

struct Variant {
  bool with_bias = true;
  Activation activation = Activation::gelu_erf;
  Residual residual = Residual::x;
};

struct Problem {
  std::size_t rows, d, m;
  DType precision = DType::f32;  // of the weights
  std::vector<float> x, up, up_bias, down, down_bias, residual;

  Problem(std::size_t rows_, std::size_t d_, std::size_t m_) : rows(rows_), d(d_), m(m_) {
    const auto seed = static_cast<unsigned>(rows * 1009 + d * 31 + m);
    x = random_normal(rows * d, seed);
    up = random_normal(m * d, seed + 1, 0, 1 / std::sqrt(static_cast<float>(d)));
    up_bias = random_normal(m, seed + 2);
    down = random_normal(d * m, seed + 3, 0, 1 / std::sqrt(static_cast<float>(m)));
    down_bias = random_normal(d, seed + 4);
    residual = random_normal(rows * d, seed + 5);
  }

  std::vector<float> run(Engine& engine, const Variant& variant) const {
    const auto packed_up = engine.pack({up.data(), m, d, d}, precision),
               packed_down = engine.pack({down.data(), d, m, m}, precision);
    std::vector<float> y = variant.residual == Residual::is_y ? residual : std::vector<float>(rows * d);
    GeluMlpArgs args{.x = {x.data(), rows, d, d},
                     .up = packed_up.get(),
                     .down = packed_down.get(),
                     .activation = variant.activation,
                     .y = {y.data(), rows, d, d}};
    if (variant.with_bias) {
      args.up_bias = {up_bias.data(), m};
      args.down_bias = {down_bias.data(), d};
    }
    if (variant.residual == Residual::x) args.residual = args.x;
    if (variant.residual == Residual::apart) args.residual = {residual.data(), rows, d, d};
    if (variant.residual == Residual::is_y) args.residual = args.y;
    engine.gelu_mlp(args);
    return y;
  }

  double residual_at(std::size_t index, Residual kind) const {
    if (kind == Residual::none) return 0;
    return kind == Residual::x ? x[index] : residual[index];
  }

  // In bf16 hidden units are rounded, and near a tie the two sides may round apart: by one step, 2^-7 of the unit.
  double rounding_bound(double unit) const { return precision == DType::bf16 ? 0x1p-7 * std::abs(unit) : 0; }

  // The largest |got - want| / bound. An error e_j of hidden unit j becomes |w_ij| e_j in y_i.
  double worst_share(const std::vector<float>& got, const std::vector<float>& want, const Variant& variant) const {
    double worst = 0;
    std::vector<double> hidden(m), hidden_bound(m);
    for (std::size_t t = 0; t < rows; ++t) {
      for (std::size_t j = 0; j < m; ++j) {
        double sum = variant.with_bias ? up_bias[j] : 0, magnitude = std::abs(sum);
        for (std::size_t k = 0; k < d; ++k) {
          const double term = double{x[t * d + k]} * up[j * d + k];
          sum += term;
          magnitude += std::abs(term);
        }
        hidden[j] = reference::activate(variant.activation, sum);
        hidden_bound[j] = slope_bound(variant.activation) * sum_bound(d, magnitude, precision) +
                          activation_bound(variant.activation, hidden[j]);
        hidden_bound[j] += rounding_bound(hidden[j]);
      }
      for (std::size_t i = 0; i < d; ++i) {
        double magnitude = variant.with_bias ? std::abs(down_bias[i]) : 0, carried = 0;
        for (std::size_t j = 0; j < m; ++j) {
          magnitude += std::abs(hidden[j] * down[i * m + j]);
          carried += std::abs(down[i * m + j]) * hidden_bound[j];
        }
        const double y = want[t * d + i], r = residual_at(t * d + i, variant.residual);
        const double bound = carried + sum_bound(m, magnitude + carried, precision) + store_bound(y, r);
        worst = std::max(worst, error_share(got[t * d + i], y, bound));
      }
    }
    return worst;
  }
};

class GeluMlp : public ::testing::TestWithParam<std::tuple<std::string, std::size_t, std::size_t, std::size_t>> {};

TEST_P(GeluMlp, AgreesWithTheReference) {
  const auto [engine, rows, d, m] = GetParam();
  const Problem problem(rows, d, m);
  const auto want = problem.run(*make_engine("reference"), {});
  EXPECT_LE(problem.worst_share(problem.run(*make_test_engine(engine), {}), want, {}), 1.0);
}

TEST_P(GeluMlp, AgreesWithTheReferenceInBf16) {
  const auto [engine, rows, d, m] = GetParam();
  Problem problem(rows, d, m);
  for (auto* values : {&problem.x, &problem.up, &problem.down}) round_to_bf16(*values);
  problem.precision = DType::bf16;
  const auto want = problem.run(*make_engine("reference"), {});
  EXPECT_LE(problem.worst_share(problem.run(*make_test_engine(engine), {}), want, {}), 1.0);
}

INSTANTIATE_TEST_SUITE_P(OddShapes, GeluMlp,
                         ::testing::Combine(::testing::ValuesIn(fast_engines()), ::testing::Values(1, 2, 17, 65),
                                            ::testing::Values(1, 48, 127), ::testing::Values(1, 63, 384, 500)),
                         EngineNames());
INSTANTIATE_TEST_SUITE_P(ManyRowsAndBlocks, GeluMlp,
                         ::testing::Combine(::testing::ValuesIn(fast_engines()), ::testing::Values(129, 300),
                                            ::testing::Values(31, 401), ::testing::Values(129, 775)),
                         EngineNames());
INSTANTIATE_TEST_SUITE_P(ManyMoreRows, GeluMlp,
                         ::testing::Combine(::testing::ValuesIn(fast_engines()), ::testing::Values(1100),
                                            ::testing::Values(20), ::testing::Values(33)),
                         EngineNames());
INSTANTIATE_TEST_SUITE_P(Emulated, GeluMlp,
                         ::testing::Combine(::testing::ValuesIn(emulated_product_engines()), ::testing::Values(1, 65),
                                            ::testing::Values(1, 48), ::testing::Values(1, 63, 130)),
                         EngineNames());

class GeluMlpVariants : public ::testing::TestWithParam<std::tuple<std::string, bool, Activation, Residual>> {};

TEST_P(GeluMlpVariants, AgreeWithTheReference) {
  const auto [engine, with_bias, activation, residual] = GetParam();
  const Variant variant{with_bias, activation, residual};
  for (const std::size_t rows : {13, 70}) {
    const Problem problem(rows, 65, 401);
    const auto want = problem.run(*make_engine("reference"), variant);
    EXPECT_LE(problem.worst_share(problem.run(*make_test_engine(engine), variant), want, variant), 1.0);
  }
}

INSTANTIATE_TEST_SUITE_P(All, GeluMlpVariants,
                         ::testing::Combine(::testing::ValuesIn(engines_under_test()), ::testing::Bool(),
                                            ::testing::Values(Activation::gelu_erf, Activation::gelu_tanh),
                                            ::testing::Values(Residual::none, Residual::x, Residual::apart,
                                                              Residual::is_y)),
                         EngineNames());

TEST(GeluMlpDeterminism, GivesTheSameBitsForAnyNumberOfThreads) {
  for (const std::string& name : fast_engines())
    for (const std::size_t rows : {5, 47, 48, 65, 200, 300}) {
      const Problem problem(rows, 195, 401);
      const auto one = problem.run(*make_test_engine(name, 1), {});
      for (const int threads : {2, 3, 7}) EXPECT_EQ(problem.run(*make_test_engine(name, threads), {}), one) << rows;
    }
}

TEST(GeluMlpComparison, SeesAPlantedFault) {
  Problem problem(3, 65, 127);
  const auto want = problem.run(*make_engine("reference"), {});
  EXPECT_LE(problem.worst_share(problem.run(*make_engine("cpu"), {}), want, {}), 1.0);
  problem.up[126 * 65 + 64] *= 0.9f;
  EXPECT_GT(problem.worst_share(problem.run(*make_engine("cpu"), {}), want, {}), 1.0);
}

TEST(GeluMlpArguments, NameTheValueThatIsWrong) {
  const auto engine = make_engine("cpu"), reference = make_engine("reference");
  std::vector<float> x(12), y(12), weight(15, 1.0f), bias(4);
  const auto up = engine->pack({weight.data(), 5, 3, 3}), down = engine->pack({weight.data(), 3, 5, 5});
  const auto foreign = reference->pack({weight.data(), 3, 5, 5});
  const GeluMlpArgs good{.x = {x.data(), 4, 3, 3}, .up = up.get(), .down = down.get(), .y = {y.data(), 4, 3, 3}};
  const auto message = [&](auto&& spoil) {
    GeluMlpArgs args = good;
    spoil(args);
    return message_of([&] { engine->gelu_mlp(args); });
  };
  EXPECT_EQ(message([](GeluMlpArgs&) {}), "no error");
  EXPECT_EQ(message([](GeluMlpArgs& args) { args.up = nullptr; }), "gelu_mlp: up is null");
  EXPECT_EQ(message([&](GeluMlpArgs& args) { args.down = foreign.get(); }),
            "gelu_mlp: down was packed by engine \"reference\", this is \"cpu\"");
  EXPECT_EQ(message([&](GeluMlpArgs& args) { args.up = down.get(); }), "gelu_mlp: up is [3, 5], needs 3 columns");
  EXPECT_EQ(message([&](GeluMlpArgs& args) { args.down = up.get(); }), "gelu_mlp: down is [5, 3], needs 5 columns");
  EXPECT_EQ(message([](GeluMlpArgs& args) { args.activation = Activation::none; }),
            "gelu_mlp: activation is none, needs to be gelu_erf or gelu_tanh");
  EXPECT_EQ(message([&](GeluMlpArgs& args) {
              args.up_bias = {bias.data(), 4};
            }),
            "gelu_mlp: up_bias has 4 elements, needs 5");
  EXPECT_EQ(message([&](GeluMlpArgs& args) {
              args.down_bias = {bias.data(), 4};
            }),
            "gelu_mlp: down_bias has 4 elements, needs 3");
  EXPECT_EQ(message([](GeluMlpArgs& args) { args.y.rows = 3; }), "gelu_mlp: y is [3, 3], needs [4, 3]");
  EXPECT_EQ(message([](GeluMlpArgs& args) { args.residual = args.x.rows_from(0, 2); }),
            "gelu_mlp: residual is [2, 3], needs [4, 3]");
  EXPECT_THAT(message([&](GeluMlpArgs& args) { args.y.data = x.data(); }), HasSubstr("gelu_mlp: y overlaps x"));
  EXPECT_THAT(message([&](GeluMlpArgs& args) {
                args.residual = {y.data() - 1, 4, 3, 3};
              }),
              HasSubstr("gelu_mlp: y overlaps residual"));
  EXPECT_EQ(message([](GeluMlpArgs& args) { args.x.rows = args.y.rows = 0; }), "no error");
}

}  // namespace
}  // namespace lexiscope::testing
