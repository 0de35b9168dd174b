// The distribution over a vocabulary of every engine against the reference, at odd sizes.
#include "kernels/cpu/certainty.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <tuple>
#include <vector>

#include "lexiscope/engine.h"
#include "tests/support/bf16.h"
#include "tests/support/compare.h"
#include "tests/support/engines.h"
#include "tests/support/errors.h"
#include "tests/support/product_bounds.h"

namespace lexiscope::testing {
namespace {

struct Result {
  std::vector<float> target_log_prob, entropy, top_log_prob;
  std::vector<std::int32_t> target_rank, top_id;
  bool operator==(const Result&) const = default;
};

struct Problem {
  std::size_t rows, d, vocabulary, k;
  DType precision = DType::f32;  // of the head
  std::vector<float> x, head, bias;
  std::vector<std::int32_t> target;

  Problem(std::size_t rows_, std::size_t d_, std::size_t vocabulary_, std::size_t k_, bool with_bias = true,
          float spread = 2)
      : rows(rows_), d(d_), vocabulary(vocabulary_), k(std::min(k_, vocabulary_)) {
    const auto seed = static_cast<unsigned>(rows * 1009 + d * 31 + vocabulary);
    x = random_normal(rows * d, seed);
    head = random_normal(vocabulary * d, seed + 1, 0, spread / std::sqrt(static_cast<float>(d)));
    if (with_bias) bias = random_normal(vocabulary, seed + 2);
    for (std::size_t t = 0; t < rows; ++t)
      target.push_back(t % 7 == 3 ? -1 : static_cast<std::int32_t>((t * 2654435761u) % vocabulary));
  }

  Result run(Engine& engine) const {
    const auto packed = engine.pack({head.data(), vocabulary, d, d}, precision);
    Result result{std::vector<float>(rows), std::vector<float>(rows), std::vector<float>(rows * k),
                  std::vector<std::int32_t>(rows, -2), std::vector<std::int32_t>(rows * k, -2)};
    engine.certainty({.x = {x.data(), rows, d, d},
                      .head = packed.get(),
                      .bias = {bias.empty() ? nullptr : bias.data(), bias.size()},
                      .target = {target.data(), rows},
                      .target_log_prob = {result.target_log_prob.data(), rows},
                      .target_rank = {result.target_rank.data(), rows},
                      .entropy = {result.entropy.data(), rows},
                      .top_id = {result.top_id.data(), rows, k, k},
                      .top_log_prob = {result.top_log_prob.data(), rows, k, k}});
    return result;
  }

  // Row t's logits in double, and the bound of each one's error.
  void logits_of(std::size_t t, std::vector<double>& logits, std::vector<double>& bounds) const {
    logits.assign(vocabulary, 0);
    bounds.assign(vocabulary, 0);
    for (std::size_t v = 0; v < vocabulary; ++v) {
      double sum = bias.empty() ? 0 : bias[v], magnitude = std::abs(sum);
      for (std::size_t c = 0; c < d; ++c) {
        const double term = double{x[t * d + c]} * head[v * d + c];
        sum += term;
        magnitude += std::abs(term);
      }
      logits[v] = sum;
      bounds[v] = sum_bound(d, magnitude, precision);
    }
  }

  double worst_share(const Result& got, const Result& want) const;
};

// A weight is exp(s - r), r at most 8 below the largest logit: with D = |s - max| + 8, the difference rounds by u D,
// the exponent by u D again, the power by 4 u, a sum of three by 2 u: off by (2 D + 6) u of itself beside the logit's
// own error; where all is summed in f32, eight at a time, then in tiles of 128, at most V / 128 + 24 additions more.
// The log of a sum moves by the mean of these under p; log p by that and the logit's own error. The entropy is lse -
// sum p s: a relative error e of a weight moves it by p |s - mean| e, and products of the moment round by 3 u D.
double Problem::worst_share(const Result& got, const Result& want) const {
  const double additions = static_cast<double>(vocabulary) / 128 + 24;
  double worst = 0;
  std::vector<double> logits, bounds;
  for (std::size_t t = 0; t < rows; ++t) {
    logits_of(t, logits, bounds);
    const double maximum = *std::max_element(logits.begin(), logits.end());
    double sum = 0, mean = 0, log_sum_bound = 0, entropy_bound = 0;
    for (const double s : logits) sum += std::exp(s - maximum), mean += s * std::exp(s - maximum);
    mean /= sum;
    for (std::size_t v = 0; v < vocabulary; ++v) {
      const double p = std::exp(logits[v] - maximum) / sum, distance = std::abs(logits[v] - maximum) + 8;
      const double off = bounds[v] + (2 * distance + 6 + additions) * kUnitF32;
      log_sum_bound += p * off;
      entropy_bound += p * (std::abs(logits[v] - mean) * off + 3 * kUnitF32 * distance);
    }
    const double largest_bound = *std::max_element(bounds.begin(), bounds.end());
    const auto compare = [&](double a, double b, double bound) {
      worst = std::max(worst, error_share(a, b, bound + 2 * kUnitF32 * (1 + std::abs(b))));
    };
    compare(got.entropy[t], want.entropy[t], entropy_bound);
    for (std::size_t i = 0; i < k; ++i) {  // the i-th largest of perturbed numbers moves by the largest perturbation
      compare(got.top_log_prob[t * k + i], want.top_log_prob[t * k + i], log_sum_bound + largest_bound);
      const auto id = static_cast<std::size_t>(got.top_id[t * k + i]);
      if (id >= vocabulary) return INFINITY;
      compare(logits[id] - maximum - std::log(sum), want.top_log_prob[t * k + i], log_sum_bound + 2 * largest_bound);
    }
    if (target[t] < 0) {
      if (!std::isnan(got.target_log_prob[t]) || got.target_rank[t] != 0) return INFINITY;
      continue;
    }
    const auto id = static_cast<std::size_t>(target[t]);
    compare(got.target_log_prob[t], want.target_log_prob[t], log_sum_bound + bounds[id]);
    std::int32_t surely = 1, perhaps = 1;
    for (std::size_t v = 0; v < vocabulary; ++v) {
      surely += v != id && logits[v] - bounds[v] > logits[id] + bounds[id];
      perhaps += v != id && logits[v] + bounds[v] > logits[id] - bounds[id];
    }
    if (got.target_rank[t] < surely || got.target_rank[t] > perhaps) return INFINITY;
  }
  return worst;
}

bool has_distinct_ids(const Result& result, std::size_t rows, std::size_t k) {
  for (std::size_t t = 0; t < rows; ++t) {
    std::vector<std::int32_t> ids(result.top_id.begin() + t * k, result.top_id.begin() + (t + 1) * k);
    std::sort(ids.begin(), ids.end());
    if (std::adjacent_find(ids.begin(), ids.end()) != ids.end()) return false;
  }
  return true;
}

class Certainty : public ::testing::TestWithParam<std::tuple<std::string, std::size_t, std::size_t, std::size_t>> {};

TEST_P(Certainty, AgreesWithTheReference) {
  const auto [engine, rows, d, vocabulary] = GetParam();
  const Problem problem(rows, d, vocabulary, 5, rows % 2 == 1);
  const Result want = problem.run(*make_engine("reference")), got = problem.run(*make_test_engine(engine));
  EXPECT_LE(problem.worst_share(got, want), 1.0);
  EXPECT_TRUE(has_distinct_ids(got, rows, problem.k));
}

TEST_P(Certainty, AgreesWithTheReferenceInBf16) {
  const auto [engine, rows, d, vocabulary] = GetParam();
  Problem problem(rows, d, vocabulary, 5, rows % 2 == 1);
  round_to_bf16(problem.x);
  round_to_bf16(problem.head);
  problem.precision = DType::bf16;
  EXPECT_LE(problem.worst_share(problem.run(*make_test_engine(engine)), problem.run(*make_engine("reference"))), 1.0);
}

INSTANTIATE_TEST_SUITE_P(OddShapes, Certainty,
                         ::testing::Combine(::testing::ValuesIn(fast_engines()), ::testing::Values(1, 2, 17, 65),
                                            ::testing::Values(1, 31, 129), ::testing::Values(1, 2, 47, 49, 500)),
                         EngineNames());
// Several segments of the vocabulary, several blocks of the contraction, several groups of rows.
INSTANTIATE_TEST_SUITE_P(Segments, Certainty,
                         ::testing::Combine(::testing::ValuesIn(fast_engines()), ::testing::Values(3),
                                            ::testing::Values(33, 401), ::testing::Values(3071, 3073, 6200)),
                         EngineNames());
INSTANTIATE_TEST_SUITE_P(Groups, Certainty,
                         ::testing::Combine(::testing::ValuesIn(fast_engines()), ::testing::Values(300),
                                            ::testing::Values(3), ::testing::Values(129)),
                         EngineNames());
INSTANTIATE_TEST_SUITE_P(Emulated, Certainty,
                         ::testing::Combine(::testing::ValuesIn(emulated_engines()), ::testing::Values(1, 3, 65),
                                            ::testing::Values(1, 31, 129), ::testing::Values(1, 49, 500)),
                         EngineNames());

class CertaintyOn : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Each, CertaintyOn, ::testing::ValuesIn(test_engines()), EngineNames());

// Logits from -2000 to 2000: weights that vanish, references that rise.
TEST_P(CertaintyOn, HoldsWhereLogitsAreFarApart) {
  const Problem problem(5, 17, 3200, 10, true, 500);
  const Result want = problem.run(*make_engine("reference")), got = problem.run(*make_test_engine(GetParam()));
  EXPECT_LE(problem.worst_share(got, want), 1.0);
}

// All logits alike: log p = -log V, entropy log V, everyone of rank 1, the first k ids.
TEST_P(CertaintyOn, TiesGoToTheSmallerId) {
  Problem problem(2, 3, 3100, 4, false);
  std::fill(problem.head.begin(), problem.head.end(), 0.0f);
  problem.target = {3099, 0};
  const Result got = problem.run(*make_test_engine(GetParam()));
  EXPECT_EQ(got.top_id, (std::vector<std::int32_t>{0, 1, 2, 3, 0, 1, 2, 3}));
  EXPECT_EQ(got.target_rank, (std::vector<std::int32_t>{1, 1}));
  for (const float value : got.target_log_prob) EXPECT_NEAR(value, -std::log(3100.0), 1e-5);
  for (const float value : got.entropy) EXPECT_NEAR(value, std::log(3100.0), 1e-5);
}

TEST_P(CertaintyOn, GivesWhatIsAskedForAlone) {
  const auto engine = make_test_engine(GetParam());
  const Problem problem(3, 17, 100, 4);
  const Result all = problem.run(*engine);
  const auto packed = engine->pack({problem.head.data(), 100, 17, 17});
  std::vector<float> entropy(3), log_prob(12);
  std::vector<std::int32_t> id(12);
  CertaintyArgs args{.x = {problem.x.data(), 3, 17, 17}, .head = packed.get(), .bias = {problem.bias.data(), 100}};
  args.entropy = {entropy.data(), 3};
  engine->certainty(args);
  EXPECT_EQ(entropy, all.entropy);
  args.entropy = {};
  args.top_id = {id.data(), 3, 4, 4};
  args.top_log_prob = {log_prob.data(), 3, 4, 4};
  engine->certainty(args);
  EXPECT_EQ(id, all.top_id);
  EXPECT_EQ(log_prob, all.top_log_prob);
}

TEST(CertaintyDeterminism, GivesTheSameBitsForAnyNumberOfThreads) {
  for (const std::string& name : fast_engines())
    for (const std::size_t rows : {1, 70}) {
      Problem problem(rows, 33, 6500, 7);
      problem.target.assign(rows, 6499);
      const Result one = problem.run(*make_test_engine(name, 1));
      for (const int threads : {2, 3, 7}) EXPECT_EQ(problem.run(*make_test_engine(name, threads)), one) << rows;
    }
}

TEST(CertaintyMemory, DoesNotHoldTheLogits) {
  const auto bytes = [](std::size_t rows) {
    std::int32_t id = 0;
    float log_prob = 0;
    const cpu::PackedWeights head{.out = 150'000, .in = 8};
    return cpu::certainty_workspace(
        {.x = {nullptr, rows, 8, 8}, .top_id = {&id, rows, 10, 10}, .top_log_prob = {&log_prob, rows, 10, 10}}, head);
  };
  EXPECT_EQ(bytes(100'000), bytes(256));
  EXPECT_LT(bytes(256), 256u * 150'000 * sizeof(float) / 80);
}

TEST(CertaintyComparison, SeesPlantedFaults) {
  Problem problem(3, 65, 500, 5);
  const Result want = problem.run(*make_engine("reference")), right = problem.run(*make_engine("cpu"));
  EXPECT_LE(problem.worst_share(right, want), 1.0);
  Result wrong = right;
  wrong.entropy[1] += 1e-3f;
  EXPECT_GT(problem.worst_share(wrong, want), 1.0);
  wrong = right;
  std::swap(wrong.top_id[0], wrong.top_id[4]);
  EXPECT_GT(problem.worst_share(wrong, want), 1.0);
  wrong = right;
  wrong.target_rank[2] += 1;
  EXPECT_GT(problem.worst_share(wrong, want), 1.0);
  problem.bias[static_cast<std::size_t>(right.top_id[0])] += 1e-2f;
  EXPECT_GT(problem.worst_share(problem.run(*make_engine("cpu")), want), 1.0);
}

TEST(CertaintyArguments, NameTheValueThatIsWrong) {
  const auto engine = make_engine("cpu");
  std::vector<float> x(6), head(15), values(20);
  std::vector<std::int32_t> ids(20), target{1, -1};
  const auto packed = engine->pack({head.data(), 5, 3, 3});
  const CertaintyArgs good{.x = {x.data(), 2, 3, 3},
                           .head = packed.get(),
                           .target = {target.data(), 2},
                           .target_log_prob = {values.data(), 2},
                           .target_rank = {ids.data(), 2},
                           .entropy = {values.data() + 2, 2},
                           .top_id = {ids.data() + 2, 2, 4, 4},
                           .top_log_prob = {values.data() + 4, 2, 4, 4}};
  const auto message = [&](auto&& spoil) {
    CertaintyArgs args = good;
    spoil(args);
    return message_of([&] { engine->certainty(args); });
  };
  EXPECT_EQ(message([](CertaintyArgs&) {}), "no error");
  EXPECT_EQ(message([](CertaintyArgs& args) { args.head = nullptr; }), "certainty: head is null");
  EXPECT_EQ(message([](CertaintyArgs& args) { args.x.columns = 2; }), "certainty: head is [5, 3], needs 2 columns");
  EXPECT_EQ(message([&](CertaintyArgs& args) {
              args.bias = {values.data(), 4};
            }),
            "certainty: bias has 4 elements, needs 5");
  EXPECT_EQ(message([](CertaintyArgs& args) { args.target = {}; }),
            "certainty: target_log_prob or target_rank is wanted without targets");
  EXPECT_EQ(message([&](CertaintyArgs& args) {
              static const std::int32_t beyond[] = {0, 5};
              args.target = {beyond, 2};
            }),
            "certainty: target 1 is token 5, the head has 5");
  EXPECT_EQ(message([](CertaintyArgs& args) { args.top_log_prob = {}; }),
            "certainty: one of top_id and top_log_prob is empty");
  EXPECT_EQ(message([](CertaintyArgs& args) { args.top_log_prob.columns = 3; }),
            "certainty: top_log_prob is [2, 3], needs [2, 4]");
  EXPECT_EQ(message([](CertaintyArgs& args) {
              args.top_id.columns = args.top_id.stride = 6;
              args.top_log_prob.columns = args.top_log_prob.stride = 6;
            }),
            "certainty: the top 6 are wanted of 5 tokens");
  EXPECT_EQ(message([](CertaintyArgs& args) { args.entropy.size = 1; }), "certainty: entropy has 1 elements, needs 2");
  EXPECT_EQ(message([](CertaintyArgs& args) { args.entropy.data = args.top_log_prob.data; }).substr(0, 42),
            "certainty: top_log_prob overlaps entropy: ");
  EXPECT_EQ(message([](CertaintyArgs& args) {
              args.x.rows = 0;
              args = {.x = args.x, .head = args.head};
            }),
            "no error");
}

}  // namespace
}  // namespace lexiscope::testing
