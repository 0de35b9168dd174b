// The linear layer of every engine against the reference at odd shapes, and what surrounds it: packing, strides,
// aliasing, the accuracy of its activations, the cut into tasks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <omp.h>

#include <atomic>
#include <cmath>
#include <limits>
#include <memory>
#include <numbers>
#include <tuple>
#include <vector>

#include "kernels/cpu/product_config.h"
#include "kernels/cpu/task_shares.h"
#include "kernels/cpu/tile_layout.h"
#include "lexiscope/engine.h"
#include "tests/support/bf16.h"
#include "tests/support/compare.h"
#include "tests/support/engines.h"
#include "tests/support/errors.h"
#include "tests/support/product_bounds.h"

namespace lexiscope::testing {
namespace {

using cpu::Units;
using ::testing::HasSubstr;

enum class Residual { none, apart, is_y };

struct Variant {
  bool with_bias = true;
  Activation activation = Activation::none;
  Residual residual = Residual::none;
};

struct Problem {
  std::size_t rows, in, out;
  std::vector<float> x, weight, bias, residual;

  Problem(std::size_t rows_, std::size_t in_, std::size_t out_) : rows(rows_), in(in_), out(out_) {
    const auto seed = static_cast<unsigned>(rows * 1009 + in * 31 + out);
    x = random_normal(rows * in, seed);
    weight = random_normal(out * in, seed + 1, 0, 1 / std::sqrt(static_cast<float>(in)));
    bias = random_normal(out, seed + 2);
    residual = random_normal(rows * out, seed + 3);
  }

  MatrixView<const float> weight_view() const { return {weight.data(), out, in, in}; }

  std::vector<float> run(Engine& engine, const PackedMatrix& packed, const Variant& variant) const {
    std::vector<float> y = variant.residual == Residual::is_y ? residual : std::vector<float>(rows * out);
    LinearArgs args{.x = {x.data(), rows, in, in},
                    .weight = &packed,
                    .activation = variant.activation,
                    .y = {y.data(), rows, out, out}};
    if (variant.with_bias) args.bias = {bias.data(), out};
    if (variant.residual == Residual::apart) args.residual = {residual.data(), rows, out, out};
    if (variant.residual == Residual::is_y) args.residual = args.y;
    engine.linear(args);
    return y;
  }
  std::vector<float> run(Engine& engine, const Variant& variant) const {
    return run(engine, *engine.pack(weight_view()), variant);
  }

  // The largest |got - want| / bound.
  double worst_share(const std::vector<float>& got, const std::vector<float>& want, const Variant& variant,
                     DType precision = DType::f32) const {
    double worst = 0;
    for (std::size_t t = 0; t < rows; ++t)
      for (std::size_t j = 0; j < out; ++j) {
        double magnitude = variant.with_bias ? std::abs(bias[j]) : 0;
        for (std::size_t k = 0; k < in; ++k) magnitude += std::abs(double{x[t * in + k]} * weight[j * in + k]);
        const double y = want[t * out + j], r = variant.residual == Residual::none ? 0 : residual[t * out + j];
        const double bound = slope_bound(variant.activation) * sum_bound(in, magnitude, precision) +
                             activation_bound(variant.activation, y - r) + store_bound(y, r);
        worst = std::max(worst, error_share(got[t * out + j], y, bound));
      }
    return worst;
  }
};

class Linear : public ::testing::TestWithParam<std::tuple<std::string, std::size_t, std::size_t, std::size_t>> {};

TEST_P(Linear, AgreesWithTheReference) {
  const auto [engine, rows, in, out] = GetParam();
  const Problem problem(rows, in, out);
  const auto want = problem.run(*make_engine("reference"), {});
  EXPECT_LE(problem.worst_share(problem.run(*make_test_engine(engine), {}), want, {}), 1.0);
}

// Products of bf16 are exact in f32, so what remains once inputs and weights are rounded is how they are added; and
// rounding them is the operation's part.
TEST_P(Linear, AgreesWithTheReferenceInBf16) {
  const auto [name, rows, in, out] = GetParam();
  const Problem given(rows, in, out);
  Problem rounded = given;
  round_to_bf16(rounded.x);
  round_to_bf16(rounded.weight);
  const auto run = [](const Problem& problem, Engine& engine) {
    return problem.run(engine, *engine.pack(problem.weight_view(), DType::bf16), {});
  };
  const auto engine = make_test_engine(name), reference = make_engine("reference");
  const std::vector<float> want = run(rounded, *reference), got = run(rounded, *engine);
  EXPECT_EQ(want, rounded.run(*reference, {}));
  EXPECT_LE(rounded.worst_share(got, want, {}, DType::bf16), 1.0);
  EXPECT_EQ(run(given, *reference), want);
  EXPECT_EQ(run(given, *engine), got);
}

INSTANTIATE_TEST_SUITE_P(OddShapes, Linear,
                         ::testing::Combine(::testing::ValuesIn(fast_engines()), ::testing::Values(1, 2, 7, 33, 65),
                                            ::testing::Values(1, 3, 31, 384, 500),
                                            ::testing::Values(1, 2, 17, 48, 63, 500)),
                         EngineNames());
INSTANTIATE_TEST_SUITE_P(ManyRows, Linear,
                         ::testing::Combine(::testing::ValuesIn(fast_engines()), ::testing::Values(500),
                                            ::testing::Values(127, 769), ::testing::Values(97)),
                         EngineNames());
INSTANTIATE_TEST_SUITE_P(Deep, Linear,
                         ::testing::Combine(::testing::ValuesIn(fast_engines()), ::testing::Values(130),
                                            ::testing::Values(1601), ::testing::Values(50)),
                         EngineNames());
INSTANTIATE_TEST_SUITE_P(Emulated, Linear,
                         ::testing::Combine(::testing::ValuesIn(emulated_product_engines()),
                                            ::testing::Values(1, 7, 65), ::testing::Values(1, 31, 130),
                                            ::testing::Values(2, 63, 129)),
                         EngineNames());
INSTANTIATE_TEST_SUITE_P(EmulatedManyRows, Linear,
                         ::testing::Combine(::testing::ValuesIn(emulated_engines()), ::testing::Values(140),
                                            ::testing::Values(49), ::testing::Values(201)),
                         EngineNames());

class LinearVariants : public ::testing::TestWithParam<std::tuple<std::string, bool, Activation, Residual>> {};

TEST_P(LinearVariants, AgreeWithTheReference) {
  const auto [engine, with_bias, activation, residual] = GetParam();
  const Variant variant{with_bias, activation, residual};
  for (const auto& [rows, in, out] : {std::tuple{13, 65, 50}, std::tuple{70, 400, 101}}) {
    const Problem problem(rows, in, out);
    const auto want = problem.run(*make_engine("reference"), variant);
    EXPECT_LE(problem.worst_share(problem.run(*make_test_engine(engine), variant), want, variant), 1.0);
  }
}

INSTANTIATE_TEST_SUITE_P(All, LinearVariants,
                         ::testing::Combine(::testing::ValuesIn(engines_under_test()), ::testing::Bool(),
                                            ::testing::Values(Activation::none, Activation::gelu_erf,
                                                              Activation::gelu_tanh, Activation::silu),
                                            ::testing::Values(Residual::none, Residual::apart, Residual::is_y)),
                         EngineNames());

class LinearOnEngine : public ::testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(All, LinearOnEngine, ::testing::ValuesIn(test_engines()), EngineNames());

TEST_P(LinearOnEngine, ReadsAndWritesStridedRowsAndNothingBeside) {
  constexpr std::size_t kRows = 9, kIn = 21, kOut = 53, kStride = 70;
  const Problem problem(kRows, kIn, kOut);
  const auto engine = make_test_engine(GetParam());
  std::vector<float> x(kRows * kStride, 1e30f), weight(kOut * kStride, 1e30f), residual(kRows * kStride, 1e30f);
  std::vector<float> y(kRows * kStride, 77.0f);
  const auto spread = [](const std::vector<float>& from, std::size_t rows, std::size_t columns, float* to) {
    for (std::size_t t = 0; t < rows; ++t) std::copy_n(from.data() + t * columns, columns, to + t * kStride);
  };
  spread(problem.x, kRows, kIn, x.data());
  spread(problem.weight, kOut, kIn, weight.data());
  spread(problem.residual, kRows, kOut, residual.data());
  const auto packed = engine->pack({weight.data(), kOut, kIn, kStride});
  engine->linear({.x = {x.data(), kRows, kIn, kStride},
                  .weight = packed.get(),
                  .bias = {problem.bias.data(), kOut},
                  .activation = Activation::gelu_erf,
                  .residual = {residual.data(), kRows, kOut, kStride},
                  .y = {y.data(), kRows, kOut, kStride}});
  const auto dense = problem.run(*engine, {.activation = Activation::gelu_erf, .residual = Residual::apart});
  for (std::size_t t = 0; t < kRows; ++t)
    for (std::size_t j = 0; j < kStride; ++j)
      EXPECT_EQ(y[t * kStride + j], j < kOut ? dense[t * kOut + j] : 77.0f) << t << " " << j;
}

// y = activation(1 * x + 0): the activation alone. Below 8 a result is rounded by at most 2^-22 = 2.4e-7, and beyond
// 5.99 the exact GELU returns x; the rest of the error is below 2.5 u / 3 (activation_bound).
TEST_P(LinearOnEngine, GeluIsExactWithin3e7) {
  const auto engine = make_test_engine(GetParam());
  const float one = 1;
  const auto packed = engine->pack({&one, 1, 1, 1});
  const std::size_t points = GetParam() == kEmulated ? 2'401 : 240'001;
  std::vector<float> x(points), y(points);
  for (std::size_t i = 0; i < points; ++i) x[i] = -12 + 24 * static_cast<float>(i) / static_cast<float>(points - 1);
  for (const Activation activation : {Activation::gelu_erf, Activation::gelu_tanh}) {
    engine->linear({.x = {x.data(), points, 1, 1},
                    .weight = packed.get(),
                    .activation = activation,
                    .y = {y.data(), points, 1, 1}});
    double worst_absolute = 0, worst_share = 0;
    for (std::size_t i = 0; i < points; ++i) {
      const double v = x[i], c = std::sqrt(2 / std::numbers::pi);
      const double want = activation == Activation::gelu_erf ? v / 2 * std::erfc(-v / std::numbers::sqrt2)
                                                             : v / 2 * (1 + std::tanh(c * (v + 0.044715 * v * v * v)));
      worst_absolute = std::max(worst_absolute, std::abs(y[i] - want));
      worst_share = std::max(worst_share, error_share(y[i], want, activation_bound(activation, want)));
    }
    if (activation == Activation::gelu_erf) {
      EXPECT_LE(worst_absolute, 3e-7);
    }
    EXPECT_LE(worst_share, 1.0);
  }
}

TEST_P(LinearOnEngine, GeluOfSpecialValues) {
  const auto engine = make_test_engine(GetParam());
  const float one = 1, infinity = std::numeric_limits<float>::infinity();
  const auto packed = engine->pack({&one, 1, 1, 1});
  const std::vector<float> x{0, 1e-30f, -1e-30f, 1e30f, -1e30f, infinity, std::nanf("")};
  std::vector<float> y(x.size());
  for (const Activation activation : {Activation::gelu_erf, Activation::gelu_tanh}) {
    engine->linear({.x = {x.data(), x.size(), 1, 1},
                    .weight = packed.get(),
                    .activation = activation,
                    .y = {y.data(), x.size(), 1, 1}});
    EXPECT_EQ(y[0], 0);
    EXPECT_NEAR(y[1], 5e-31f, 1e-36);
    EXPECT_NEAR(y[2], -5e-31f, 1e-36);
    EXPECT_EQ(y[3], 1e30f);
    EXPECT_NEAR(y[4], 0, 1e-8);
    EXPECT_EQ(y[5], infinity);
    EXPECT_TRUE(std::isnan(y[6]));
  }
}

TEST_P(LinearOnEngine, NoRowsIsNothingToDo) {
  const auto engine = make_test_engine(GetParam());
  const std::vector<float> weight(6, 1.0f);
  const auto packed = engine->pack({weight.data(), 2, 3, 3});
  EXPECT_NO_THROW(engine->linear({.x = {nullptr, 0, 3, 3}, .weight = packed.get(), .y = {nullptr, 0, 2, 2}}));
}

TEST(LinearDeterminism, GivesTheSameBitsForAnyNumberOfThreads) {
  const Variant variant{.activation = Activation::gelu_tanh, .residual = Residual::apart};
  for (const std::string& name : fast_engines())
    for (const std::size_t rows : {5, 47, 48, 65, 200, 500}) {
      const Problem problem(rows, 401, 195);
      const auto one = problem.run(*make_test_engine(name, 1), variant);
      for (const int threads : {2, 3, 7})
        EXPECT_EQ(problem.run(*make_test_engine(name, threads), variant), one) << rows;
    }
}

TEST(LinearPacking, ServesEverySimdTarget) {
  const Problem problem(20, 390, 67);
  const auto want = problem.run(*make_engine("reference"), {});
  for (const std::string& packed_by : cpu_engines()) {
    const auto packed = make_test_engine(packed_by)->pack(problem.weight_view());
    for (const std::string& used_by : cpu_engines())
      EXPECT_LE(problem.worst_share(problem.run(*make_test_engine(used_by), *packed, {}), want, {}), 1.0)
          << packed_by << " packs, " << used_by << " uses";
  }
}

// One weight of 500 too small by a tenth.
TEST(LinearComparison, SeesAPlantedFault) {
  Problem problem(3, 500, 65);
  const auto want = problem.run(*make_engine("reference"), {});
  EXPECT_LE(problem.worst_share(problem.run(*make_engine("cpu"), {}), want, {}), 1.0);
  problem.weight[64 * 500 + 499] *= 0.9f;
  EXPECT_GT(problem.worst_share(problem.run(*make_engine("cpu"), {}), want, {}), 1.0);
}

TEST(LinearArguments, NameTheValueThatIsWrong) {
  const auto engine = make_engine("cpu"), reference = make_engine("reference");
  std::vector<float> x(12), y(8), weight(6, 1.0f), bias(3);
  const auto packed = engine->pack({weight.data(), 2, 3, 3}), foreign = reference->pack({weight.data(), 2, 3, 3});
  const LinearArgs good{.x = {x.data(), 4, 3, 3}, .weight = packed.get(), .y = {y.data(), 4, 2, 2}};
  const auto message = [&](auto&& spoil) {
    LinearArgs args = good;
    spoil(args);
    return message_of([&] { engine->linear(args); });
  };
  EXPECT_EQ(message([](LinearArgs&) {}), "no error");
  EXPECT_EQ(message([](LinearArgs& args) { args.weight = nullptr; }), "linear: weight is null");
  EXPECT_EQ(message([&](LinearArgs& args) { args.weight = foreign.get(); }),
            "linear: weight was packed by engine \"reference\", this is \"cpu\"");
  EXPECT_EQ(message([](LinearArgs& args) { args.x.columns = 2; }), "linear: weight is [2, 3], needs 2 columns");
  EXPECT_EQ(message([&](LinearArgs& args) { args.bias = {bias.data(), 3}; }), "linear: bias has 3 elements, needs 2");
  EXPECT_EQ(message([](LinearArgs& args) { args.y.rows = 3; }), "linear: y is [3, 2], needs [4, 2]");
  EXPECT_EQ(message([&](LinearArgs& args) {
              args.residual = {x.data(), 4, 3, 3};
            }),
            "linear: residual is [4, 3], needs [4, 2]");
  EXPECT_EQ(message([](LinearArgs& args) { args.x.stride = 2; }),
            "linear: x has a stride of 2, needs at least its 3 columns");
  EXPECT_EQ(message([](LinearArgs& args) { args.y.data = nullptr; }), "linear: y is [4, 2] with no memory");
  EXPECT_EQ(message_of([&] {
              engine->pack({weight.data(), 0, 3, 3});
            }),
            "pack: weight is [0, 3], needs at least [1, 1]");
}

TEST(LinearArguments, MustNotOverlapTheOutput) {
  const auto engine = make_engine("cpu");
  std::vector<float> memory(64), weight(9, 1.0f);
  const auto packed = engine->pack({weight.data(), 3, 3, 3});
  const auto message = [&](const LinearArgs& args) { return message_of([&] { engine->linear(args); }); };
  float* data = memory.data();
  EXPECT_THAT(message({.x = {data, 4, 3, 3}, .weight = packed.get(), .y = {data, 4, 3, 3}}),
              HasSubstr("linear: y overlaps x"));
  EXPECT_THAT(message({.x = {data, 4, 3, 3}, .weight = packed.get(), .y = {data + 11, 4, 3, 3}}),
              HasSubstr("linear: y overlaps x"));
  EXPECT_EQ(message({.x = {data, 4, 3, 6}, .weight = packed.get(), .y = {data + 3, 4, 3, 6}}), "no error");
  EXPECT_THAT(
      message(
          {.x = {data, 4, 3, 3}, .weight = packed.get(), .residual = {data + 12, 4, 3, 3}, .y = {data + 15, 4, 3, 3}}),
      HasSubstr("linear: y overlaps residual"));
  EXPECT_THAT(
      message({.x = {data, 4, 3, 3}, .weight = packed.get(), .bias = {data + 12, 3}, .y = {data + 14, 4, 3, 3}}),
      HasSubstr("linear: y overlaps bias"));
}

// Every element of y belongs to exactly one task, whatever the shape.
TEST(ProductConfig, CoversEveryRowAndPanelOnce) {
  for (const std::size_t rows : {1, 23, 24, 47, 48, 64, 65, 129, 500, 4096})
    for (const std::size_t panels : {1, 2, 8, 32})
      for (const int threads : {1, 2, 3, 16, 64})
        for (const Units units : {Units::vectors, Units::tiles}) {
          const auto config = units == Units::tiles ? cpu::choose_tile_config(rows, panels, threads)
                                                    : cpu::choose_product_config(rows, panels, threads);
          std::vector<int> times(rows * panels);
          for (std::size_t index = 0; index < config.tasks(); ++index) {
            const cpu::Task task = config.task(index);
            for (std::size_t row = task.first_row; row < task.last_row; ++row)
              for (std::size_t panel = task.first_panel; panel < task.last_panel; ++panel)
                ++times[row * panels + panel];
          }
          EXPECT_THAT(times, ::testing::Each(1)) << rows << " " << panels << " " << threads;
        }
}

TEST(ProductConfig, GivesEveryThreadAnEvenShare) {
  const auto tasks = [](std::size_t rows, int threads) { return cpu::choose_product_config(rows, 8, threads).tasks(); };
  EXPECT_EQ(tasks(16, 2), 8);   // panels
  EXPECT_EQ(tasks(48, 2), 2);   // rows
  EXPECT_EQ(tasks(129, 2), 4);  // 3 blocks of 64 would leave one thread idle
  EXPECT_EQ(tasks(4096, 2), 64);
}

TEST(ProductConfig, GivesEveryThreadManyTasksOnTiles) {
  const auto tasks = [](std::size_t rows, std::size_t columns) {
    return cpu::choose_tile_config(rows, cpu::tile_pairs(columns), 2).tasks();
  };
  EXPECT_EQ(tasks(128, 384), 12);  // as many as there are pairs of tiles
  EXPECT_EQ(tasks(128, 1536), 16);
  EXPECT_EQ(tasks(512, 384), 16);
  EXPECT_EQ(tasks(4096, 1536), 128);  // no more columns than fit a task's sums
}

// Every task is run once, by whichever thread, even if some never come.
TEST(TaskShares, RunEveryTaskOnce) {
  for (const std::size_t tasks : {0, 1, 2, 7, 64})
    for (const int threads : {1, 2, 5}) {
      std::vector<int> times(tasks);
      cpu::TaskShares shares(tasks, threads);
#pragma omp parallel num_threads(threads)
      if (threads == 1 || omp_get_thread_num() != 0)
        shares.run(omp_get_thread_num(), [&](std::size_t task) { ++std::atomic_ref(times[task]); });
      EXPECT_THAT(times, ::testing::Each(1)) << tasks << " " << threads;
    }
}

}  // namespace
}  // namespace lexiscope::testing
