// The job `project` on every engine against the reference, on arrays that may not lie in the host's memory: the arrays
// that it writes, stops and resumes, and on the emulated engine every failure of a call and of an allocation.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include "host/analysis/neighbors.h"
#include "host/io/run_directory.h"
#include "lexiscope/error.h"
#include "lexiscope/project.h"
#include "tests/support/compare.h"
#include "tests/support/engines.h"
#include "tests/support/runs.h"
#ifdef LEXISCOPE_EMULATED
#include "tests/support/emulated_device.h"
#endif

namespace lexiscope::testing {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kTokens = 60, kWidth = 9, kComponents = 5;

/// A folder of its own for each test, in memory where the system has such a place; gone with it.
class Runs {
 public:
  explicit Runs(std::size_t tokens = kTokens)
      : folder_(place() / ("lexiscope_project_engines_" + std::to_string(getpid()))) {
    fs::create_directory(folder_);
    values_ = random_normal(tokens * kWidth, 3, 0.5f);
    // Far apart along each axis, so that components are well separated and may be compared one by one.
    for (std::size_t i = 0; i < values_.size(); ++i)
      values_[i] *= static_cast<float>(std::pow(2.0, -double(i % kWidth)));
    source_.matrix = {values_.data(), tokens, kWidth, kWidth};
    for (std::size_t i = 0; i < tokens; ++i) source_.tokens.push_back("token " + std::to_string(i));
    options_.tsne = false;
    options_.components = kComponents;
    options_.perplexity = 4;
    options_.iterations = 30;
  }
  Runs(const Runs&) = delete;
  Runs& operator=(const Runs&) = delete;
  ~Runs() { fs::remove_all(folder_); }

  fs::path path(const std::string& name) const { return folder_ / name; }
  ProjectOptions options(const std::string& name) const {
    ProjectOptions named = options_;
    named.out = path(name);
    return named;
  }
  ProjectSummary run(Engine& engine, const std::string& name) { return project(engine, source_, options(name)); }

  const ProjectSource& source() const { return source_; }
  ProjectOptions options_;
  std::vector<float> values_;

 private:
  static fs::path place() { return fs::is_directory("/dev/shm") ? "/dev/shm" : fs::temp_directory_path(); }

  fs::path folder_;
  ProjectSource source_;
};

template <typename Element>
void expect_near(const Runs& runs, const std::string& got, const std::string& array, double bound) {
  SCOPED_TRACE(array);
  const NpyArray found = RunReader(runs.path(got)).array(array),
                 wanted = RunReader(runs.path("reference")).array(array);
  ASSERT_EQ(found.shape, wanted.shape);
  std::size_t count = 1;
  for (const std::size_t extent : found.shape) count *= extent;
  for (std::size_t i = 0; i < count; ++i)
    ASSERT_NEAR(found.values<Element>(found.shape.size())[i], wanted.values<Element>(found.shape.size())[i], bound)
        << i;
}

class ProjectOnEngine : public ::testing::TestWithParam<std::string> {
 protected:
  // The covariance of each engine is off by (N + 8) v of its trace at most, v = 2^-53, and its decomposition by 8 (d^2
  // + 2) v of its norm, which is no more: an eigenvalue by the sum of both, a component by that over the gap to its
  // neighbours, a score by its row's length times that and by the rounding to f32, u = 2^-24 of itself. Both engines
  // err.
  void expect_alike(const std::string& got, const ProjectSummary& summary, const ProjectSummary& wanted) {
    const NpyArray eigenvalues = RunReader(runs_.path("reference")).array("pca_eigenvalues");
    const double* lambda = eigenvalues.values<double>(1);
    double gap = lambda[0] - lambda[1];
    for (std::size_t j = 1; j < kComponents; ++j) gap = std::min(gap, lambda[j] - lambda[j + 1]);
    double length = 0;
    for (std::size_t i = 0; i < kTokens; ++i) {
      double squares = 0;
      for (std::size_t a = 0; a < kWidth; ++a) squares += std::pow(runs_.values_[i * kWidth + a], 2);
      length = std::max(length, std::sqrt(squares));
    }
    const double trace = wanted.total_variance;
    const double error = 2 * (kTokens + 8 + 8 * (kWidth * kWidth + 2)) * kUnitF64 * trace;
    ASSERT_LT(error / gap, 1e-9);  // or the comparison would say nothing
    expect_near<double>(runs_, got, "pca_mean", 2 * (kTokens + 1) * kUnitF64 * length);
    expect_near<double>(runs_, got, "pca_eigenvalues", error);
    expect_near<double>(runs_, got, "pca_components", 2 * error / gap);
    expect_near<float>(runs_, got, "pca_scores", 2 * (2 * error / gap * length + kUnitF32 * length));
    expect_near<float>(runs_, got, "embedding_norm", 0);
    const CosineStatistics &a = summary.statistics, &b = wanted.statistics;
    EXPECT_NEAR(a.mean_norm, b.mean_norm, 1e-12 * b.mean_norm);
    EXPECT_NEAR(a.norm_of_mean, b.norm_of_mean, 1e-12 * b.mean_norm);
    EXPECT_NEAR(a.mean_cosine, b.mean_cosine, 1e-12);
    EXPECT_NEAR(a.isotropy, b.isotropy, 1e-6 * b.isotropy);  // along directions that are off by error / gap
    EXPECT_EQ(RunReader(runs_.path(got)).tokens(), runs_.source().tokens);
  }

  Runs runs_;
  std::unique_ptr<Engine> engine_ = make_bare_test_engine(GetParam(), 2);
};

TEST_P(ProjectOnEngine, WritesWhatTheReferenceDoes) {
  for (const bool centered : {true, false})
    for (const bool normalize : {false, true}) {
      SCOPED_TRACE(std::string(centered ? "centered" : "uncentered") + (normalize ? ", unit rows" : ""));
      runs_.options_.centered = centered;
      runs_.options_.normalize = normalize;
      runs_.options_.existing = ProjectOptions::Existing::overwrite;
      const ProjectSummary wanted = runs_.run(*make_engine("reference"), "reference");
      expect_alike("run", runs_.run(*engine_, "run"), wanted);
    }
}

TEST_P(ProjectOnEngine, GivesTheSameBitsTwice) {
  runs_.run(*engine_, "once");
  runs_.run(*make_bare_test_engine(GetParam(), 1), "again");
  EXPECT_EQ(arrays_of(runs_.path("once")), arrays_of(runs_.path("again")));
}

// Rows side by side, and rows with something between them.
TEST_P(ProjectOnEngine, FindsNeighborsOfTokens) {
  const std::vector<std::size_t> rows{7, 0, 7};
  for (const std::size_t width : {kWidth, kWidth - 2}) {
    const MatrixView<const float> embedding{runs_.values_.data(), kTokens, width, kWidth};
    const auto got = find_neighbors(*engine_, embedding, rows, 6),
               want = find_neighbors(*make_engine("reference"), embedding, rows, 6);
    ASSERT_EQ(got.size(), want.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      EXPECT_EQ(got[i].row, rows[i]);
      ASSERT_EQ(got[i].nearest.size(), 6u);
      for (std::size_t j = 0; j < 6; ++j) {
        EXPECT_EQ(got[i].nearest[j].row, want[i].nearest[j].row);
        EXPECT_NEAR(got[i].nearest[j].cosine, want[i].nearest[j].cosine, 2 * kUnitF32);  // of distances of at most 2
      }
    }
  }
}

TEST_P(ProjectOnEngine, ResumesToTheSameBitsAfterAStop) {
  runs_.run(*engine_, "whole");
  std::stop_source stop;
  const Control control{.stop = stop.get_token(), .progress = [&](double) { stop.request_stop(); }};
  ProjectOptions options = runs_.options("run");
  std::optional<ErrorCode> code;
  try {
    project(*engine_, runs_.source(), options, &control);
  } catch (const Error& error) {
    code = error.code();
  }
  EXPECT_EQ(code, ErrorCode::kCancelled);
  EXPECT_FALSE(fs::exists(options.out / "manifest.json"));
  options.existing = ProjectOptions::Existing::resume;
  project(*engine_, runs_.source(), options);
  EXPECT_EQ(arrays_of(runs_.path("run")), arrays_of(runs_.path("whole")));
}

class MapOnEngine : public ProjectOnEngine {
 protected:
  MapOnEngine() { runs_.options_.tsne = true; }
};

// A path this short has no time to become chaotic: both engines step on the same gradient to within some 1e-5.
TEST_P(MapOnEngine, MakesTheMapOfTheReference) {
  const ProjectSummary wanted = runs_.run(*make_engine("reference"), "reference");
  const ProjectSummary found = runs_.run(*engine_, "run");
  expect_alike("run", found, wanted);
  // Of scores that are themselves off by twice u of their length.
  const NpyArray scores = RunReader(runs_.path("reference")).array("pca_scores");
  double largest = 0;
  for (std::size_t i = 0; i < kTokens * kComponents; ++i)
    largest = std::max(largest, double(std::abs(scores.values<float>(2)[i])));
  expect_near<float>(runs_, "run", "neighbor_distances", 8 * kUnitF32 * std::sqrt(kComponents) * largest);
  ASSERT_EQ(found.kl.size(), wanted.kl.size());
  for (std::size_t i = 0; i < found.kl.size(); ++i) {
    EXPECT_EQ(found.kl[i].iteration, wanted.kl[i].iteration);
    EXPECT_NEAR(found.kl[i].kl, wanted.kl[i].kl, 0.01);
  }
}

TEST_P(MapOnEngine, ResumesToTheSameBitsAfterAStopInEachStage) {
  runs_.run(*engine_, "whole");
  const auto whole = arrays_of(runs_.path("whole"));
  for (const auto& [stage, share] :
       {std::pair<std::string, double>{"neighbors", 0}, {"affinities", 0}, {"tsne", 0.1}, {"tsne", 0.5}}) {
    SCOPED_TRACE(stage);
    ProjectOptions options = runs_.options("run");
    options.checkpoint_every = 10;
    std::stop_source stop;
    std::string current;
    options.on_stage = [&, wanted = stage](const ProjectStage& begun) { current = begun.name; };
    const Control control{.stop = stop.get_token(), .progress = [&, wanted = stage, least = share](double done) {
                            if (current == wanted && done >= least) stop.request_stop();
                          }};
    std::optional<ErrorCode> code;
    try {
      project(*engine_, runs_.source(), options, &control);
    } catch (const Error& error) {
      code = error.code();
    }
    ASSERT_EQ(code, ErrorCode::kCancelled);
    EXPECT_FALSE(fs::exists(options.out / "manifest.json"));
    options.existing = ProjectOptions::Existing::resume;
    options.on_stage = {};
    project(*make_bare_test_engine(GetParam(), 1), runs_.source(), options);
    EXPECT_EQ(arrays_of(options.out), whole);
    fs::remove_all(options.out);
  }
}

TEST_P(MapOnEngine, StartsWhereItIsTold) {
  runs_.options_.initial = ProjectOptions::Initial::random;
  runs_.options_.dimensions = 3;
  runs_.options_.sigma = 0.5;
  const ProjectSummary wanted = runs_.run(*make_engine("reference"), "reference");
  EXPECT_NEAR(runs_.run(*engine_, "run").kl.back().kl, wanted.kl.back().kl, 0.01);
}

INSTANTIATE_TEST_SUITE_P(Engines, MapOnEngine, ::testing::ValuesIn(engines_under_test()), EngineNames());
INSTANTIATE_TEST_SUITE_P(Engines, ProjectOnEngine, ::testing::ValuesIn(engines_under_test()), EngineNames());

#ifdef LEXISCOPE_EMULATED

// In their names what CTest tells the tests on the emulated engine by.
class ProjectFailures_cuda_emulated : public ::testing::Test {
 protected:
  ProjectFailures_cuda_emulated() { simt::reset(); }
  ~ProjectFailures_cuda_emulated() override { simt::reset(); }

  /// The work whose calls fail: the components alone, or the way to a map with a checkpoint on it.
  void begin(bool map) {
    runs_.options_.tsne = map;
    runs_.options_.iterations = 11;
    runs_.options_.checkpoint_every = 10;
    runs_.run(*make_emulated_engine(), "whole");
    whole_ = arrays_of(runs_.path("whole"));
  }

  simt::Counters counted() {
    simt::reset();
    attempt();
    const simt::Counters counters = simt::counters();
    fs::remove_all(runs_.path("run"));
    return counters;
  }

  std::optional<Error> attempt() {
    return failure_of([&] { runs_.run(*make_emulated_engine(), "run"); });
  }

  // A run that failed has no manifest, and what it left is a run to go on with, to the same bits, or nothing. That
  // takes as long as the run itself, so not every one is gone on with.
  void expect_honest_run(const std::optional<Error>& failure, bool go_on) {
    const fs::path out = runs_.path("run");
    expect_nothing_held();
    simt::reset();
    if (failure) {
      EXPECT_FALSE(fs::exists(out / "manifest.json"));
      if (go_on && fs::exists(out)) {
        ProjectOptions options = runs_.options("run");
        options.existing = ProjectOptions::Existing::resume;
        project(*make_emulated_engine(), runs_.source(), options);
      }
    }
    if (!failure || (go_on && fs::exists(out))) {
      EXPECT_EQ(arrays_of(out), whole_);
    }
    fs::remove_all(out);
  }

  // Makes every so-many-th call fail, so that there are about `most` of them.
  void fail_calls(std::size_t most) {
    const std::size_t calls = counted().calls, stride = std::max<std::size_t>(calls / most, 1);
    std::size_t told = 0, tried = 0;
    for (std::size_t nth = 1; nth <= calls; nth += stride) {
      SCOPED_TRACE(nth);
      ++tried;
      simt::reset();
      simt::fail_call(static_cast<int>(nth));
      const auto failure = attempt();
      if (failure) {
        ++told;
        EXPECT_EQ(failure->code(), ErrorCode::kDevice);
        EXPECT_THAT(failure->what(),
                    ::testing::AnyOf(::testing::HasSubstr("cudaErrorUnknown"), ::testing::HasSubstr("unknown error"),
                                     ::testing::HasSubstr("_INTERNAL_ERROR")));
      }
      expect_honest_run(failure, tried % 5 == 0);
    }
    EXPECT_GT(tried, 20u);
    EXPECT_GT(told, tried / 2);
  }

  void fail_allocations() {
    const std::size_t allocations = counted().allocations;
    EXPECT_GT(allocations, 15u);
    std::size_t told = 0;
    for (std::size_t nth = 1; nth <= allocations; ++nth) {
      SCOPED_TRACE(nth);
      simt::reset();
      simt::fail_call("cudaMalloc", static_cast<int>(nth), cudaErrorMemoryAllocation);
      const auto failure = attempt();
      if (failure) {
        ++told;
        EXPECT_EQ(failure->code(), ErrorCode::kOutOfMemory);
        EXPECT_THAT(failure->what(), ::testing::HasSubstr(" bytes were asked for"));
      }  // else what the pool keeps was freed, and the second try had its memory
      expect_honest_run(failure, nth % 3 == 0);
    }
    EXPECT_GT(told, 5u);
  }

  static constexpr std::size_t kFew = 14;

  Runs runs_{kFew};
  std::map<std::string, std::string> whole_;
};

TEST_F(ProjectFailures_cuda_emulated, AnyCallForTheComponents) {
  begin(false);
  fail_calls(1000);  // all of them
}

// The calls of every stage, but not all of a map's thousands, unless LEXISCOPE_EVERY_CALL is in the environment.
TEST_F(ProjectFailures_cuda_emulated, CallsOnTheWayToAMap) {
  begin(true);
  fail_calls(std::getenv("LEXISCOPE_EVERY_CALL") ? 1'000'000 : 25);
}

TEST_F(ProjectFailures_cuda_emulated, AnyAllocationForTheComponents) {
  begin(false);
  fail_allocations();
}

TEST_F(ProjectFailures_cuda_emulated, AnyAllocationOnTheWayToAMap) {
  begin(true);
  fail_allocations();
}

// Memory that is too small for all of the work, not for one call of many.
TEST_F(ProjectFailures_cuda_emulated, ADeviceThatIsTooSmall) {
  begin(true);
  const std::size_t peak = counted().peak_device_bytes;
  simt::reset();
  simt::set_memory_limit(peak / 4);  // that the pool frees what it keeps does not help any more
  const auto failure = attempt();
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->code(), ErrorCode::kOutOfMemory);
  expect_nothing_held();
  EXPECT_FALSE(fs::exists(runs_.path("run") / "manifest.json"));
}

#endif

}  // namespace
}  // namespace lexiscope::testing
