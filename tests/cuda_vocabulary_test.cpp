// The linear algebra of a vocabulary on the emulated CUDA engine, beyond what the tests of its operations ask of every
// engine: streams and events, what it refuses, and that nothing is leaked on any way out.
#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "host/engines/cuda/cuda_engine.h"
#include "host/engines/cuda/row_stream.h"
#include "kernels/cuda/column_slices.h"
#include "simt/grid.h"
#include "simt/runtime.h"
#include "tests/support/compare.h"
#include "tests/support/emulated_device.h"
#include "tests/support/emulated_engine.h"
#include "tests/support/engine_memory.h"
#include "tests/support/errors.h"

namespace lexiscope::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr std::size_t kRows = 90, kWidth = 17, kComponents = 4;  // two chunks of rows

class CudaVocabulary : public EmulatedDeviceTest {};

struct Results {
  std::vector<double> mean, covariance, values, vectors;
  std::vector<float> scores, norms;
  double mean_cosine = 0, isotropy = 0;
  bool operator==(const Results&) const = default;
};

/// Every operation of a PCA on one engine, each from what the one before it left on the device.
Results work(const Control* control = nullptr) {
  const auto engine = make_emulated_engine();
  const std::vector<float> x = random_normal(kRows * kWidth, 1, 0.5f);
  const MatrixView<const float> rows{x.data(), kRows, kWidth, kWidth};
  const Tensor mean = engine->allocate(DType::f64, {kWidth}),
               covariance = engine->allocate(DType::f64, {kWidth, kWidth}),
               values = engine->allocate(DType::f64, {kWidth}),
               vectors = engine->allocate(DType::f64, {kComponents, kWidth}),
               scores = engine->allocate(DType::f32, {kRows, kComponents}),
               norms = engine->allocate(DType::f32, {kRows});
  engine->covariance(
      {.x = rows, .mean = mean.vector<double>(), .covariance = covariance.matrix<double>(), .control = control});
  engine->eigendecomposition({.matrix = covariance.matrix<double>(),
                              .eigenvalues = values.vector<double>(),
                              .eigenvectors = vectors.matrix<double>()});
  engine->projection({.x = rows,
                      .mean = mean.vector<double>(),
                      .components = vectors.matrix<double>(),
                      .scores = scores.matrix<float>(),
                      .control = control});
  const CosineStatistics found = engine->cosine_statistics(
      {.x = rows, .directions = vectors.matrix<double>(), .norms = norms.vector<float>(), .control = control});
  return {.mean = on_host<double>(*engine, mean),
          .covariance = on_host(*engine, covariance.matrix<double>()),
          .values = on_host<double>(*engine, values),
          .vectors = on_host(*engine, vectors.matrix<double>()),
          .scores = on_host(*engine, scores.matrix<float>()),
          .norms = on_host<float>(*engine, norms),
          .mean_cosine = found.mean_cosine,
          .isotropy = found.isotropy};
}

TEST_F(CudaVocabulary, GivesTheSameBitsInAnyOrderOfThreadsBlocksAndStreams) {
  const Results want = work();
  const simt::ScheduleOptions before = simt::schedule();
  for (const auto& [threads, blocks] : {std::pair{simt::ThreadSchedule::kReverse, simt::BlockOrder::kReverse},
                                        {simt::ThreadSchedule::kRandom, simt::BlockOrder::kRandom}}) {
    simt::set_schedule({.threads = threads, .blocks = blocks, .seed = 7});
    EXPECT_EQ(work(), want);
  }
  simt::set_schedule(before);
  simt::set_stream_schedule(simt::StreamSchedule::kEager);
  EXPECT_EQ(work(), want);
}

TEST_F(CudaVocabulary, TellsAFailureOfAnyCallAndLeaksNothing) {
  const std::size_t before = simt::counters().calls;
  const Results want = work();
  const std::size_t calls = simt::counters().calls - before;
  std::size_t told = 0;
  for (std::size_t nth = 1; nth <= calls; ++nth) {
    simt::fail_call(static_cast<int>(nth));
    Results got;
    const auto failure = failure_of([&] { got = work(); });
    if (failure) {
      ++told;
      EXPECT_EQ(failure->code(), ErrorCode::kDevice) << nth;
      EXPECT_THAT(failure->what(), ::testing::AnyOf(HasSubstr("nknown"), HasSubstr("STATUS_INTERNAL_ERROR"))) << nth;
    } else {
      EXPECT_EQ(got, want) << nth;  // the failure came in a destructor, after all work
    }
    expect_nothing_held();
    simt::reset();
  }
  EXPECT_GT(told, calls / 2);
}

TEST_F(CudaVocabulary, TellsThatMemoryRanOutAtAnyAllocationAndLeaksNothing) {
  work();
  const std::size_t allocations = simt::counters().allocations;
  EXPECT_GT(allocations, 15u);
  for (std::size_t nth = 1; nth <= allocations; ++nth) {
    simt::fail_call("cudaMalloc", static_cast<int>(nth), cudaErrorMemoryAllocation);
    if (const auto failure = failure_of([] { work(); })) {
      EXPECT_EQ(failure->code(), ErrorCode::kOutOfMemory);
      EXPECT_THAT(failure->what(), HasSubstr(" bytes were asked for"));
    }  // else what the pool keeps was freed, and the second try had its memory
    expect_nothing_held();
    simt::reset();
  }
  for (int nth = 1; nth <= 4; ++nth) {  // the engine's stream has two buffers, and that of the rows
    simt::fail_call("cudaMallocHost", nth, cudaErrorMemoryAllocation);
    const auto failure = failure_of([] { work(); });
    ASSERT_TRUE(failure.has_value()) << nth;
    EXPECT_EQ(failure->code(), ErrorCode::kOutOfMemory);
    expect_nothing_held();
    simt::reset();
  }
}

TEST_F(CudaVocabulary, NamesTheLibrarysCallAndTheDevice) {
  const auto message = [](const auto& status, const char* call) {
    simt::fail_call(call, 1, status);
    const auto failure = failure_of([] { work(); });
    return failure ? std::pair{failure->code(), std::string(failure->what())}
                   : std::pair{ErrorCode::kDevice, std::string()};
  };
  using ::testing::Pair;
  EXPECT_THAT(message(CUBLAS_STATUS_EXECUTION_FAILED, "cublasDsyrk_64"),
              Pair(ErrorCode::kDevice, AllOf(StartsWith("cublasDsyrk_64 failed on device 0 ("), HasSubstr("A100"),
                                             HasSubstr("): CUBLAS_STATUS_EXECUTION_FAILED"))));
  EXPECT_THAT(message(CUBLAS_STATUS_ALLOC_FAILED, "cublasCreate"),
              Pair(ErrorCode::kOutOfMemory, StartsWith("cublasCreate failed on device 0 (")));
  EXPECT_THAT(message(CUSOLVER_STATUS_ALLOC_FAILED, "cusolverDnXsyevd"),
              Pair(ErrorCode::kOutOfMemory, AllOf(StartsWith("cusolverDnXsyevd failed on device 0 ("),
                                                  HasSubstr("): CUSOLVER_STATUS_ALLOC_FAILED"))));
  for (const cusolverStatus_t status :
       {CUSOLVER_STATUS_NOT_INITIALIZED, CUSOLVER_STATUS_INVALID_VALUE, CUSOLVER_STATUS_ARCH_MISMATCH,
        CUSOLVER_STATUS_EXECUTION_FAILED, CUSOLVER_STATUS_INTERNAL_ERROR, CUSOLVER_STATUS_NOT_SUPPORTED})
    EXPECT_THAT(message(status, "cusolverDnXsyevd"), Pair(ErrorCode::kDevice, HasSubstr(": CUSOLVER_STATUS_")));
  EXPECT_THAT(message(CUSOLVER_STATUS_MAPPING_ERROR, "cusolverDnXsyevd"),
              Pair(ErrorCode::kDevice, HasSubstr("a status without a name")));
  EXPECT_THAT(message(CUSOLVER_STATUS_INVALID_VALUE, "cusolverDnXsyevd_bufferSize"),
              Pair(ErrorCode::kUnsupported,
                   "eigendecomposition: cuSOLVER does not take a matrix of [17, 17] "
                   "(CUSOLVER_STATUS_INVALID_VALUE)"));
}

TEST_F(CudaVocabulary, SaysThatTheIterationDidNotConverge) {
  simt::set_next_eigen_info(3);
  EXPECT_EQ(message_of([] { work(); }),
            "eigendecomposition: the iteration on a [17, 17] matrix did not converge (cusolverDnXsyevd's info is 3)");
}

// The first in row order, and of the lower triangle alone.
TEST_F(CudaVocabulary, NamesAnElementThatIsNotFinite) {
  const auto engine = make_emulated_engine();
  std::vector<double> values(50 * 50);
  values[3 * 50 + 40] = std::numeric_limits<double>::quiet_NaN();
  const auto complaint = [&] {
    const Tensor matrix = on_engine(*engine, values), eigenvalues = engine->allocate(DType::f64, {50});
    return message_of([&] {
      engine->eigendecomposition(
          {.matrix = {matrix.vector<double>().data, 50, 50, 50}, .eigenvalues = eigenvalues.vector<double>()});
    });
  };
  EXPECT_EQ(complaint(), "no error");
  values[49 * 50 + 2] = std::numeric_limits<double>::quiet_NaN();
  values[41 * 50 + 41] = -std::numeric_limits<double>::infinity();
  EXPECT_EQ(complaint(), "eigendecomposition: matrix has -inf in row 41, column 41");
}

TEST_F(CudaVocabulary, RefusesRowsThatAreNotFiniteBeforeAnythingIsCopied) {
  const auto engine = make_emulated_engine();
  std::vector<float> x(6, 1.0f);
  x[4] = std::numeric_limits<float>::infinity();
  const Tensor mean = engine->allocate(DType::f64, {2}), covariance = engine->allocate(DType::f64, {2, 2});
  EXPECT_EQ(message_of([&] {
              engine->covariance(
                  {.x = {x.data(), 3, 2, 2}, .mean = mean.vector<double>(), .covariance = covariance.matrix<double>()});
            }),
            "covariance: x has inf in row 2, column 0");
  EXPECT_EQ(message_of([&] {
              engine->cosine_statistics({.x = {x.data(), 3, 2, 2}});
            }),
            "cosine_statistics: x has inf in row 2, column 0");
}

// Stopped between two chunks, of whichever pass; the engine goes on afterwards.
TEST_F(CudaVocabulary, StopsBetweenChunksAndGoesOn) {
  std::stop_source stop;
  const Control control{.stop = stop.get_token(), .progress = [&](double done) {
                          if (done < 1) stop.request_stop();
                        }};
  const auto failure = failure_of([&] { work(&control); });
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->code(), ErrorCode::kCancelled);
}

TEST_F(CudaVocabulary, GoesOnAfterAStop) {
  const auto engine = make_emulated_engine();
  const std::vector<float> x = random_normal(kRows * kWidth, 1), more = random_normal(kRows * kWidth, 2);
  const std::vector<double> unit{1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  const Tensor components = on_engine(*engine, unit), scores = engine->allocate(DType::f32, {kRows, 1});
  ProjectionArgs args{.x = {x.data(), kRows, kWidth, kWidth},
                      .components = {components.vector<double>().data, 1, kWidth, kWidth},
                      .scores = scores.matrix<float>()};
  std::stop_source stop;
  const Control control{.stop = stop.get_token(), .progress = [&](double) { stop.request_stop(); }};
  args.control = &control;
  EXPECT_TRUE(failure_of([&] { engine->projection(args); }).has_value());
  args.control = nullptr;
  args.x.data = more.data();
  engine->projection(args);
  const auto got = on_host(*engine, scores.matrix<float>());
  for (std::size_t i = 0; i < kRows; ++i) EXPECT_EQ(got[i], more[i * kWidth]);
}

// More chunks than the pinned buffers hold, and rows that are changed as soon as the call returns.
TEST_F(CudaVocabulary, TakesRowsBeforeItReturns) {
  const auto engine = make_emulated_engine();
  constexpr std::size_t kWide = 700'000, kTall = 5;  // a chunk of one row each
  std::vector<float> x = random_normal(kWide * kTall, 3);
  const std::vector<float> before = x;
  std::vector<double> unit(kWide);
  unit[kWide - 1] = 1;
  const Tensor components = on_engine(*engine, unit), scores = engine->allocate(DType::f32, {kTall, 1});
  engine->projection({.x = {x.data(), kTall, kWide, kWide},
                      .components = {components.vector<double>().data, 1, kWide, kWide},
                      .scores = scores.matrix<float>()});
  std::fill(x.begin(), x.end(), 7.0f);
  const auto got = on_host(*engine, scores.matrix<float>());
  for (std::size_t i = 0; i < kTall; ++i) EXPECT_EQ(got[i], before[(i + 1) * kWide - 1]);
}

TEST_F(CudaVocabulary, ProjectsRowsOfNoColumnsToZero) {
  const auto engine = make_emulated_engine();
  float nothing = 0;
  const Tensor scores = on_engine(*engine, std::vector<float>(6, -7)), components = engine->allocate(DType::f64, {1});
  engine->projection({.x = {&nothing, 3, 0, 0},
                      .components = {components.vector<double>().data, 2, 0, 0},
                      .scores = {scores.vector<float>().data, 3, 2, 2}});
  EXPECT_THAT(on_host<float>(*engine, scores), ::testing::Each(0.0f));
}

TEST(CudaRowChunks, HoldAtLeastOneRowAndAtMostAll) {
  EXPECT_EQ(cuda::rows_of_chunk(1000, 16, 4096), 64u);
  EXPECT_EQ(cuda::rows_of_chunk(10, 16, 4096), 10u);
  EXPECT_EQ(cuda::rows_of_chunk(10, 5000, 4096), 1u);
  EXPECT_EQ(cuda::rows_of_chunk(10, 0, 4096), 10u);
}

TEST(CudaColumnSlices, CoverTheRowsAndAreFew) {
  for (std::size_t rows = 1; rows < 100'000; rows = rows * 3 / 2 + 1) {
    const cuda::ColumnSlices slices = cuda::choose_column_slices(rows);
    EXPECT_GE(slices.count, 1u);
    EXPECT_LE(slices.count, 64u);
    EXPECT_GE(slices.count * slices.rows, rows);
    EXPECT_LT((slices.count - 1) * slices.rows, rows);  // none is empty
  }
}

}  // namespace
}  // namespace lexiscope::testing
