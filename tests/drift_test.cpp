// Drift of every engine against the reference, at odd shapes, within a bound derived below.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <tuple>
#include <vector>

#include "lexiscope/engine.h"
#include "tests/support/compare.h"
#include "tests/support/engines.h"
#include "tests/support/errors.h"

namespace lexiscope::testing {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Result {
  std::vector<float> norm, relative, cosine;
  bool operator==(const Result&) const = default;
};

struct Problem {
  std::size_t rows, d;
  std::vector<float> before, after;

  Problem(std::size_t rows_, std::size_t d_, float scale, float step) : rows(rows_), d(d_) {
    const auto seed = static_cast<unsigned>(rows * 1009 + d);
    before = after = random_normal(rows * d, seed, 0, scale);
    const auto steps = random_normal(rows * d, seed + 1, 0, step * scale);
    for (std::size_t i = 0; i < after.size(); ++i) after[i] += steps[i];
  }

  Result run(Engine& engine) const {
    Result result{std::vector<float>(rows), std::vector<float>(rows), std::vector<float>(rows)};
    engine.drift({.before = {before.data(), rows, d, d},
                  .after = {after.data(), rows, d, d},
                  .norm = {result.norm.data(), rows},
                  .relative = {result.relative.data(), rows},
                  .cosine = {result.cosine.data(), rows}});
    return result;
  }
};

// In double, v = 2^-53, the difference of two f32 rounds once, a sum of d squares of it d + 2 times more, half of which
// its root keeps; the ratio of two such norms is off by less than (d + 6) v. A cosine's products have magnitudes that
// sum to at most |a| |b|, so it is off by (2 d + 6) v. Both sides err by that, and round to f32: u each.
double worst_share(const Result& got, const Result& want, std::size_t d) {
  const double sums = 2 * static_cast<double>(d + 6) * kUnitF64, store = 2 * kUnitF32;
  double worst = 0;
  for (std::size_t t = 0; t < want.norm.size(); ++t) {
    worst = std::max(worst, error_share(got.norm[t], want.norm[t], (sums + store) * want.norm[t]));
    worst = std::max(worst, error_share(got.relative[t], want.relative[t], (sums + store) * want.relative[t]));
    worst = std::max(worst, error_share(got.cosine[t], want.cosine[t], 2 * sums + store * std::abs(want.cosine[t])));
  }
  return worst;
}

class Drift : public ::testing::TestWithParam<std::tuple<std::string, std::size_t, std::size_t, float, float>> {};

TEST_P(Drift, AgreesWithTheReference) {
  const auto [engine, rows, d, scale, step] = GetParam();
  const Problem problem(rows, d, scale, step);
  EXPECT_LE(worst_share(problem.run(*make_test_engine(engine)), problem.run(*make_engine("reference")), d), 1.0);
}

INSTANTIATE_TEST_SUITE_P(OddShapes, Drift,
                         ::testing::Combine(::testing::ValuesIn(fast_engines()), ::testing::Values(1, 2, 33),
                                            ::testing::Values(1, 2, 3, 17, 31, 33, 63, 65, 127, 129, 500),
                                            ::testing::Values(1.0f, 1e-30f, 1e30f), ::testing::Values(1e-6f, 1.0f)),
                         EngineNames());
INSTANTIATE_TEST_SUITE_P(Emulated, Drift,
                         ::testing::Combine(::testing::ValuesIn(emulated_engines()), ::testing::Values(1, 33),
                                            ::testing::Values(1, 3, 17, 64, 129, 500), ::testing::Values(1.0f, 1e30f),
                                            ::testing::Values(1e-6f, 1.0f)),
                         EngineNames());

TEST(DriftComparison, SeesAPlantedFault) {
  const Problem problem(3, 129, 1, 1);
  const Result want = problem.run(*make_engine("reference"));
  for (const auto values : {&Result::norm, &Result::relative, &Result::cosine}) {
    Result got = want;
    (got.*values)[2] *= 1.000001f;
    EXPECT_GT(worst_share(got, want, 129), 1.0);
  }
}

class DriftOnEngine : public ::testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(All, DriftOnEngine, ::testing::ValuesIn(test_engines()), EngineNames());

// From and to the origin, no step, and along one line, where rounding must not take a cosine beyond 1.
TEST_P(DriftOnEngine, HasADefinedValueAtEveryEdge) {
  const std::vector<float> before{0, 0, 0, 0, 3, 4, 3, 4, 3, 4, 3, 4}, after{0, 0, 3, 4, 0, 0, 3, 4, -3, -4, 6, 8};
  Result result{std::vector<float>(6), std::vector<float>(6), std::vector<float>(6)};
  make_test_engine(GetParam())
      ->drift({.before = {before.data(), 6, 2, 2},
               .after = {after.data(), 6, 2, 2},
               .norm = {result.norm.data(), 6},
               .relative = {result.relative.data(), 6},
               .cosine = {result.cosine.data(), 6}});
  EXPECT_EQ(result.norm, (std::vector<float>{0, 5, 5, 0, 10, 5}));
  EXPECT_EQ(result.relative, (std::vector<float>{0, kInfinity, 1, 0, 2, 1}));
  EXPECT_EQ(result.cosine, (std::vector<float>{0, 0, 0, 1, -1, 1}));
}

TEST_P(DriftOnEngine, KeepsCosinesWithinOne) {
  Problem problem(33, 129, 1, 0);
  for (const float factor : {1.0f, 3.0f, -7.0f}) {
    for (std::size_t i = 0; i < problem.after.size(); ++i) problem.after[i] = factor * problem.before[i];
    EXPECT_THAT(problem.run(*make_test_engine(GetParam())).cosine,
                Each(::testing::AllOf(::testing::Ge(-1), ::testing::Le(1))));
  }
}

TEST_P(DriftOnEngine, GivesWhatIsWantedAlone) {
  const Problem problem(5, 37, 1, 1);
  const auto engine = make_test_engine(GetParam());
  const Result all = problem.run(*engine);
  const DriftArgs none{.before = {problem.before.data(), 5, 37, 37}, .after = {problem.after.data(), 5, 37, 37}};
  const std::pair<VectorView<float> DriftArgs::*, std::vector<float> Result::*> outputs[] = {
      {&DriftArgs::norm, &Result::norm},
      {&DriftArgs::relative, &Result::relative},
      {&DriftArgs::cosine, &Result::cosine}};
  for (const auto& [argument, values] : outputs) {
    std::vector<float> alone(5);
    DriftArgs args = none;
    args.*argument = {alone.data(), 5};
    engine->drift(args);
    EXPECT_EQ(alone, all.*values);
  }
  EXPECT_NO_THROW(engine->drift(none));
}

TEST_P(DriftOnEngine, ReadsStridedRows) {
  constexpr std::size_t kRows = 3, kD = 37, kStride = 90;
  const Problem problem(kRows, kD, 1, 1);
  const auto engine = make_test_engine(GetParam());
  std::vector<float> buffer(kRows * kStride, 77.0f), norm(kRows);
  for (std::size_t t = 0; t < kRows; ++t) {
    std::copy_n(&problem.before[t * kD], kD, &buffer[t * kStride]);
    std::copy_n(&problem.after[t * kD], kD, &buffer[t * kStride + kD]);
  }
  engine->drift({.before = {buffer.data(), kRows, kD, kStride},
                 .after = {buffer.data() + kD, kRows, kD, kStride},
                 .norm = {norm.data(), kRows}});
  EXPECT_EQ(norm, problem.run(*engine).norm);
}

TEST_P(DriftOnEngine, NoRowsIsNothingToDoAndNoColumnsIsNoStep) {
  const auto engine = make_test_engine(GetParam());
  EXPECT_NO_THROW(engine->drift({.before = {nullptr, 0, 4, 4}, .after = {nullptr, 0, 4, 4}}));
  std::vector<float> norm(3, 1.0f);
  engine->drift({.before = {nullptr, 3, 0, 0}, .after = {nullptr, 3, 0, 0}, .norm = {norm.data(), 3}});
  EXPECT_THAT(norm, Each(0.0f));
}

TEST(DriftDeterminism, GivesTheSameBitsForAnyNumberOfThreads) {
  for (const std::string& name : fast_engines())
    for (const std::size_t rows : {1, 33, 600}) {  // the last on several threads
      const Problem problem(rows, 129, 1, 1);
      const Result one = problem.run(*make_test_engine(name, 1));
      for (const int threads : {2, 3}) EXPECT_TRUE(problem.run(*make_test_engine(name, threads)) == one) << rows;
    }
}

TEST(DriftArguments, NameTheValueThatIsWrong) {
  std::vector<float> before(8), after(8), outputs(6);
  const auto engine = make_engine("cpu");
  const DriftArgs good{.before = {before.data(), 2, 4, 4},
                       .after = {after.data(), 2, 4, 4},
                       .norm = {outputs.data(), 2},
                       .relative = {outputs.data() + 2, 2},
                       .cosine = {outputs.data() + 4, 2}};
  const auto message = [&](auto&& spoil) {
    DriftArgs args = good;
    spoil(args);
    return message_of([&] { engine->drift(args); });
  };
  EXPECT_EQ(message([](DriftArgs&) {}), "no error");
  EXPECT_EQ(message([](DriftArgs& args) { args.after.rows = 1; }), "drift: after is [1, 4], needs [2, 4]");
  EXPECT_EQ(message([](DriftArgs& args) { args.before.stride = 3; }),
            "drift: before has a stride of 3, needs at least its 4 columns");
  EXPECT_EQ(message([](DriftArgs& args) { args.before.data = nullptr; }), "drift: before is [2, 4] with no memory");
  EXPECT_EQ(message([](DriftArgs& args) { args.norm.size = 3; }), "drift: norm has 3 elements, needs 2");
  EXPECT_EQ(message([](DriftArgs& args) { args.cosine.size = 1; }), "drift: cosine has 1 elements, needs 2");
  EXPECT_THAT(message([&](DriftArgs& args) { args.norm.data = before.data() + 6; }),
              HasSubstr("drift: norm overlaps before"));
  EXPECT_THAT(message([&](DriftArgs& args) { args.relative.data = after.data() + 6; }),
              HasSubstr("drift: relative overlaps after"));
  EXPECT_THAT(message([&](DriftArgs& args) { args.cosine.data = outputs.data() + 1; }),
              HasSubstr("drift: cosine overlaps norm"));
}

}  // namespace
}  // namespace lexiscope::testing
