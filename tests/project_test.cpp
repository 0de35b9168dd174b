// The job `project` as a library user calls it: what it writes, that it is the same for any number of threads and after
// any stop, and that it refuses what it cannot do before it writes anything.
#include "lexiscope/project.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <numeric>

#include "host/analysis/initial_map.h"
#include "host/analysis/neighbors.h"
#include "host/analysis/project_map.h"
#include "host/analysis/spelling.h"
#include "host/analysis/validate.h"
#include "host/io/run_directory.h"
#include "tests/support/compare.h"
#include "tests/support/errors.h"
#include "tests/support/runs.h"

namespace lexiscope::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

constexpr std::size_t kTokens = 300, kWidth = 12;

/// A folder of its own for each test, gone with it.
class ProjectTest : public ::testing::Test {
 protected:
  ProjectTest() : folder_(fs::temp_directory_path() / ("lexiscope_project_" + std::to_string(getpid()))) {
    fs::create_directory(folder_);
    options_.out = folder_ / "run";
    options_.perplexity = 8;
    options_.components = 6;
    options_.iterations = 300;
    values_ = random_normal(kTokens * kWidth, 3, 0.5f);
    for (std::size_t i = 0; i < kTokens; ++i) values_[i * kWidth] *= 1 + static_cast<float>(i % 3);
    source_.matrix = {values_.data(), kTokens, kWidth, kWidth};
    for (std::size_t i = 0; i < kTokens; ++i) source_.tokens.push_back("token\t" + std::to_string(i));
  }
  ~ProjectTest() override { fs::remove_all(folder_); }

  ProjectSummary run(const fs::path& out, int threads = 2) {
    ProjectOptions options = options_;
    options.out = folder_ / out;
    return project(*make_engine("cpu", {.threads = threads}), source_, options);
  }

  std::map<std::string, std::string> arrays(const std::string& out) const { return arrays_of(folder_ / out); }

  fs::path folder_;
  ProjectOptions options_;
  ProjectSource source_;
  std::vector<float> values_;
};

TEST_F(ProjectTest, WritesEveryArrayWithItsShape) {
  const ProjectSummary summary = run("run");
  const RunReader reader(folder_ / "run");
  const auto shape = [&](const char* name) { return reader.array(name).shape; };
  EXPECT_THAT(shape("embedding_norm"), ElementsAre(kTokens));
  EXPECT_THAT(shape("pca_mean"), ElementsAre(kWidth));
  EXPECT_THAT(shape("pca_components"), ElementsAre(6, kWidth));
  EXPECT_THAT(shape("pca_eigenvalues"), ElementsAre(kWidth));
  EXPECT_THAT(shape("pca_scores"), ElementsAre(kTokens, 6));
  EXPECT_THAT(shape("neighbor_indices"), ElementsAre(kTokens, 24));
  EXPECT_THAT(shape("neighbor_distances"), ElementsAre(kTokens, 24));
  EXPECT_THAT(shape("tsne"), ElementsAre(kTokens, 2));
  EXPECT_THAT(shape("tsne_kl"), ElementsAre(6, 2));
  EXPECT_EQ(reader.tokens(), source_.tokens);
  EXPECT_EQ(reader.manifest().at("parameters").at("perplexity"), 8);
  EXPECT_EQ(reader.manifest().at("arrays").at("tsne").at("axes"), (nlohmann::json{"token", "dimension"}));
  EXPECT_EQ(summary.tokens, kTokens);
  EXPECT_EQ(summary.neighbors, 24u);
  EXPECT_EQ(summary.kl.back().iteration, 300u);
  EXPECT_LT(summary.kl.back().kl, summary.kl.front().kl);
  EXPECT_EQ(summary.seconds.back().first, "total");
}

// The scores' variances are the eigenvalues, and they are uncorrelated: f32 scores, u = 2^-24, of N points; a product
// of two of them is off by 2 u of its size, a mean square by as much of the larger eigenvalue.
TEST_F(ProjectTest, GivesScoresWhoseVariancesAreTheEigenvalues) {
  options_.tsne = false;
  run("run");
  const RunReader reader(folder_ / "run");
  const NpyArray scores = reader.array("pca_scores"), eigenvalues = reader.array("pca_eigenvalues");
  const float* score = scores.values<float>(2);
  for (std::size_t a = 0; a < 6; ++a)
    for (std::size_t b = 0; b <= a; ++b) {
      double sum = 0;
      for (std::size_t i = 0; i < kTokens; ++i) sum += double(score[i * 6 + a]) * score[i * 6 + b];
      const double* lambda = eigenvalues.values<double>(1);
      EXPECT_NEAR(sum / kTokens, a == b ? lambda[a] : 0, 4 * kUnitF32 * lambda[b]);
    }
  EXPECT_FALSE(reader.manifest().at("arrays").contains("tsne"));
  EXPECT_FALSE(reader.manifest().at("arrays").contains("neighbor_indices"));
}

TEST_F(ProjectTest, SubtractsNothingWhenUncentered) {
  options_.tsne = false;
  options_.centered = false;
  run("run");
  const NpyArray mean = RunReader(folder_ / "run").array("pca_mean");
  for (std::size_t a = 0; a < kWidth; ++a) EXPECT_EQ(mean.values<double>(1)[a], 0);
}

TEST_F(ProjectTest, NormalizesRowsAndLeavesZeroRowsZero) {
  options_.tsne = false;
  options_.normalize = true;
  options_.centered = false;
  std::fill_n(values_.begin(), kWidth, 0.0f);
  const ProjectSummary summary = run("run");
  EXPECT_EQ(summary.smallest_norm, 0);
  EXPECT_NEAR(summary.statistics.mean_norm, double(kTokens - 1) / kTokens, 1e-6);
  const RunReader reader(folder_ / "run");
  EXPECT_EQ(reader.array("embedding_norm").values<float>(1)[0], 0);
  EXPECT_EQ(reader.array("pca_scores").values<float>(2)[0], 0);
}

TEST_F(ProjectTest, GivesTheSameBitsForAnyThreads) {
  run("one", 1);
  run("two", 2);
  EXPECT_EQ(arrays("one"), arrays("two"));
}

TEST_F(ProjectTest, ResumesToTheSameBitsWhereverItStopped) {
  run("whole");
  const auto whole = arrays("whole");
  const auto engine = make_engine("cpu", {.threads = 2});
  for (const auto& [stage, share] :
       {std::pair<std::string, double>{"pca", 0}, {"neighbors", 0}, {"tsne", 0.1}, {"tsne", 0.83}, {"tsne", 1}}) {
    ProjectOptions options = options_;
    options.checkpoint_every = 70;
    std::stop_source stop;
    std::string current;
    options.on_stage = [&](const ProjectStage& begun) { current = begun.name; };
    const Control control{.stop = stop.get_token(), .progress = [&, wanted = stage, least = share](double done) {
                            if (current == wanted && done >= least) stop.request_stop();
                          }};
    fs::remove_all(options.out);
    try {
      project(*engine, source_, options, &control);
      EXPECT_EQ(share, 1);  // what stops at the last moment may also be done
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCancelled);
      EXPECT_FALSE(fs::exists(options.out / "manifest.json"));
      options.existing = ProjectOptions::Existing::resume;
      options.on_stage = {};
      project(*engine, source_, options);
    }
    EXPECT_EQ(arrays("run"), whole) << "stopped in " << stage << " at " << share;
  }
}

TEST_F(ProjectTest, RefusesToResumeOtherWork) {
  std::stop_source stop;
  const Control control{.stop = stop.get_token(), .progress = [&](double) { stop.request_stop(); }};
  const auto engine = make_engine("cpu");
  EXPECT_THROW(project(*engine, source_, options_, &control), Error);
  options_.existing = ProjectOptions::Existing::resume;
  options_.perplexity = 9;
  EXPECT_THAT(message_of([&] { project(*engine, source_, options_); }), HasSubstr("perplexity"));
  options_.perplexity = 8;
  values_[17] += 1;
  EXPECT_THAT(message_of([&] { project(*engine, source_, options_); }), HasSubstr("source"));
}

TEST_F(ProjectTest, TakesOneGaussianWidthForAllPairs) {
  options_.sigma = 2;
  options_.initial = ProjectOptions::Initial::random;
  options_.dimensions = 3;
  options_.iterations = 30;
  EXPECT_GT(run("run").kl.back().kl, 0);
  EXPECT_THAT(RunReader(folder_ / "run").array("tsne").shape, ElementsAre(kTokens, 3));
}

TEST_F(ProjectTest, SaysWhatIsWrongAndWritesNothing) {
  const auto engine = make_engine("cpu");
  const auto complaint = [&](auto&& change) {
    ProjectOptions options = options_;
    change(options);
    return message_of([&] { project(*engine, source_, options); });
  };
  EXPECT_EQ(complaint([](auto& options) { options.perplexity = 100; }),
            "perplexity 100 is too large for 300 points: 3 * perplexity may be at most 299, so perplexity at most "
            "99.66");
  EXPECT_EQ(complaint([](auto& options) { options.perplexity = 0.5; }), "perplexity is 0.5, needs to be 1 or more");
  EXPECT_EQ(complaint([](auto& options) { options.components = 13; }),
            "components is 13, the embedding has only 12 columns");
  EXPECT_EQ(complaint([](auto& options) { options.dimensions = 4; }), "dims is 4, needs to be 2 or 3");
  EXPECT_EQ(complaint([](auto& options) { options.iterations = 0; }), "iterations is 0, needs at least 1");
  EXPECT_EQ(complaint([](auto& options) { options.sigma = -1; }), "sigma is -1, needs to be positive and finite");
  EXPECT_THAT(complaint([](auto& options) { options.components = 1; }), HasSubstr("starts from the PCA"));
  values_[5 * kWidth + 2] = std::nanf("");
  EXPECT_THAT(complaint([](auto&) {}), HasSubstr("row 5"));
  EXPECT_FALSE(fs::exists(options_.out));
}

TEST_F(ProjectTest, LeavesAFileOfPositionsWithTheWrongShapeAlone) {
  NpyWriter writer(folder_ / "start.npy", DType::f32, {2});
  writer.append(std::span<const float>(values_.data(), 20));
  writer.finish();
  options_.initial = ProjectOptions::Initial::file;
  options_.initial_file = folder_ / "start.npy";
  try {
    run("run");
    FAIL() << "accepted 10 positions for 300 points";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidFile);
    EXPECT_THAT(error.what(), HasSubstr("has shape [10, 2], the map needs [300, 2]"));
  }
  EXPECT_FALSE(fs::exists(options_.out));
}

TEST(InitialMap, HasTheDeviationOfOpenTsne) {
  const auto scores = random_normal(500 * 3, 1, 7, 2);
  std::vector<float> map(500 * 2);
  start_from_scores({scores.data(), 500, 3, 3}, {map.data(), 500, 2, 2});
  double mean = 0, squares = 0;
  for (std::size_t i = 0; i < 500; ++i) mean += map[2 * i] / 500.0, squares += double(map[2 * i]) * map[2 * i] / 500;
  EXPECT_NEAR(mean, 0, 1e-9);
  EXPECT_NEAR(std::sqrt(squares), 1e-4, 1e-9);
}

TEST(InitialMap, IsAtTheOriginWhereTheScoresAreAllTheSame) {
  const std::vector<float> scores(20, 3.0f);
  std::vector<float> map(20, 1.0f);
  start_from_scores({scores.data(), 10, 2, 2}, {map.data(), 10, 2, 2});
  EXPECT_THAT(map, ::testing::Each(0.0f));
}

TEST(InitialMap, IsTheSameForTheSameSeedAlone) {
  std::vector<float> one(2000), same(2000), other(2000);
  start_at_random(1, {one.data(), 1000, 2, 2});
  start_at_random(1, {same.data(), 1000, 2, 2});
  start_at_random(2, {other.data(), 1000, 2, 2});
  EXPECT_EQ(one, same);
  EXPECT_NE(one, other);
  const double squares = std::inner_product(one.begin(), one.end(), one.begin(), 0.0) / 2000;
  EXPECT_NEAR(std::sqrt(squares), 1e-4, 1e-5);
}

TEST(ProjectMap, RecordsTheDivergenceAfterTheExaggerationAndAtTheEnd) {
  EXPECT_FALSE(records_kl(0, 100, 750));
  EXPECT_TRUE(records_kl(50, 100, 750));
  EXPECT_FALSE(records_kl(50, 30'522, 750));
  EXPECT_TRUE(records_kl(250, 30'522, 750));
  EXPECT_TRUE(records_kl(750, 30'522, 750));
  EXPECT_EQ(iterations_per_call(100, true), 10u);
  EXPECT_EQ(iterations_per_call(1'000'000, true), 1u);
  EXPECT_EQ(iterations_per_call(1'000'000, false), 2u);
}

TEST(TokenNeighbors, FindsTokensRowsAndNearSpellings) {
  const std::vector<std::string> tokens{"king", "queen", "#7", "river"};
  EXPECT_EQ(find_token("queen", tokens, 4, false), 1u);
  EXPECT_EQ(find_token("#7", tokens, 4, false), 2u);
  EXPECT_EQ(find_token("#3", tokens, 4, false), 3u);
  EXPECT_EQ(find_token("3", tokens, 4, true), 3u);
  EXPECT_EQ(message_of([&] { find_token("quene", tokens, 4, false); }), "there is no token \"quene\"; near it: queen");
  EXPECT_EQ(message_of([&] { find_token("#4", tokens, 4, false); }),
            "token row 4 does not exist: the embedding has rows 0 to 3");
  EXPECT_THAT(message_of([&] { find_token("king", {}, 4, false); }), HasSubstr("does not name its tokens"));
}

TEST(TokenNeighbors, LeavesTheTokenItselfOutButNotItsDuplicates) {
  const std::vector<float> points{1, 0, 1, 0, 0, 1, 1, 1};
  const std::vector<std::size_t> rows{0, 2};
  const auto found = find_neighbors(*make_engine("cpu"), {points.data(), 4, 2, 2}, rows, 2);
  EXPECT_EQ(found[0].nearest[0].row, 1u);
  EXPECT_NEAR(found[0].nearest[0].cosine, 1, 1e-7);
  EXPECT_EQ(found[0].nearest[1].row, 3u);
  EXPECT_EQ(found[1].nearest[0].row, 3u);
  EXPECT_NEAR(found[1].nearest[0].cosine, std::sqrt(0.5), 1e-7);
}

TEST(Spelling, CountsEdits) {
  EXPECT_EQ(edit_distance("kitten", "sitting", 9), 3u);
  EXPECT_EQ(edit_distance("ab", "ba", 9), 1u);
  EXPECT_EQ(edit_distance("", "abc", 9), 3u);
  EXPECT_EQ(edit_distance("abcdef", "uvwxyz", 2), 3u);
  const std::vector<std::string> flags{"--perplexity", "--components", "--sigma"};
  EXPECT_THAT(nearest_spellings("--perplxity", flags, 1), ElementsAre("--perplexity"));
  EXPECT_TRUE(nearest_spellings("--nothing-like-it", flags, 1).empty());
}

TEST(ErrorShares, SeeWhatIsBeyondItsBound) {
  ErrorShare share;
  share.add(1, 1, 0);
  EXPECT_EQ(share.worst(), 0);
  share.add(1.5, 1, 1);
  EXPECT_EQ(share.worst(), 0.5);
  share.add(1, 1.25, 1);
  EXPECT_EQ(share.worst(), 0.5);
  share.add(4, 1, 1);
  EXPECT_EQ(share.worst(), 3);
  share.add(std::nan(""), 1, 1);
  EXPECT_EQ(share.worst(), std::numeric_limits<double>::infinity());
  share.add(1, 1, 1);
  EXPECT_EQ(share.worst(), std::numeric_limits<double>::infinity());
  ErrorShare without_bound;
  without_bound.add(1, 2, 0);
  EXPECT_EQ(without_bound.worst(), std::numeric_limits<double>::infinity());
}

TEST(Validate, NamesTheOperationsItKnows) {
  EXPECT_THAT(message_of([] { validate("atention", *make_engine("cpu"), 0); }), HasSubstr("there are attention, "));
  const Validation found = validate("layer_norm", *make_engine("cpu"), 0);
  EXPECT_TRUE(found.passed());
  EXPECT_GT(found.cases, 5u);
  EXPECT_FALSE((Validation{.operation = "x", .cases = 1, .worst = 1.01}.passed()));
  EXPECT_FALSE((Validation{.operation = "x", .cases = 1, .error = "threw"}.passed()));
}

}  // namespace
}  // namespace lexiscope::testing
