// The CUDA neighbour search by itself: every kernel that may find candidates, in several chunks, and by measuring all
// distances; what a bound lets pass; and the engine around it when memory runs out or a call fails.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>
#include <vector>

#include "kernels/cuda/neighbors.h"
#include "lexiscope/engine.h"
#include "lexiscope/error.h"
#include "simt/grid.h"
#include "simt/runtime.h"
#include "tests/support/compare.h"
#include "tests/support/device_heads.h"
#include "tests/support/emulated_device.h"
#include "tests/support/emulated_engine.h"
#include "tests/support/engine_memory.h"

namespace lexiscope::testing {
namespace {

using cuda::candidates_variant;
using cuda::CandidatesVariant;
using cuda::NeighborsConfig;
using test::DeviceVector;

cudaDeviceProp device_of(simt::Architecture architecture) {
  simt::set_device(architecture);
  cudaDeviceProp properties{};
  EXPECT_EQ(cudaGetDeviceProperties(&properties, 0), cudaSuccess);
  simt::reset();
  return properties;
}

// ---- lists ----

struct Problem {
  std::size_t N, M, d, k;  // M = 0: the points are the queries
  Metric metric = Metric::euclidean;
};

struct Lists {
  std::vector<std::int32_t> indices;
  std::vector<float> distances;
  bool operator==(const Lists&) const = default;
};

// A cloud around a far place, with a far outlier, a zero vector and some points twice.
std::vector<float> cloud(std::size_t rows, std::size_t d, unsigned seed) {
  std::vector<float> x = random_normal(rows * d, seed);
  for (float& value : x) value += 3;
  if (rows > 5) std::fill_n(x.begin() + static_cast<std::ptrdiff_t>(2 * d), d, 1e5f);
  if (rows > 5) std::fill_n(x.begin() + static_cast<std::ptrdiff_t>(4 * d), d, 0.0f);
  for (std::size_t i = 10; i + 1 < rows; i += 9)
    std::copy_n(x.begin() + static_cast<std::ptrdiff_t>(i * d), d,
                x.begin() + static_cast<std::ptrdiff_t>((i + 1) * d));
  return x;
}

Lists reference(const Problem& p, const std::vector<float>& points, const std::vector<float>& queries) {
  const std::size_t M = p.M ? p.M : p.N;
  Lists lists{std::vector<std::int32_t>(M * p.k), std::vector<float>(M * p.k)};
  make_engine("reference")
      ->neighbors({.points = {points.data(), p.N, p.d, p.d},
                   .queries = p.M ? MatrixView<const float>{queries.data(), p.M, p.d, p.d} : MatrixView<const float>{},
                   .metric = p.metric,
                   .indices = {lists.indices.data(), M, p.k, p.k},
                   .distances = {lists.distances.data(), M, p.k, p.k}});
  return lists;
}

// With rows that lie apart in every array.
Lists search(const Problem& p, const std::vector<float>& points, const std::vector<float>& queries,
             const NeighborsConfig& config) {
  const std::size_t M = p.M ? p.M : p.N, stride = p.d + 3, list_stride = p.k + 1;
  const auto apart = [&](const std::vector<float>& rows) {
    std::vector<float> spread(rows.size() / p.d * stride, NAN);
    for (std::size_t at = 0; at < rows.size(); ++at) spread[at / p.d * stride + at % p.d] = rows[at];
    return spread;
  };
  DeviceVector<float> x(apart(points)), q(p.M ? apart(queries) : std::vector<float>(1));
  DeviceVector<std::int32_t> indices(M * list_stride);
  DeviceVector<float> distances(M * list_stride);
  const NeighborsArgs args{
      .points = {x.data(), p.N, p.d, stride},
      .queries = p.M ? MatrixView<const float>{q.data(), p.M, p.d, stride} : MatrixView<const float>{},
      .metric = p.metric,
      .indices = {indices.data(), M, p.k, list_stride},
      .distances = {distances.data(), M, p.k, list_stride}};
  DeviceVector<std::uint64_t> workspace(
      std::vector<std::uint64_t>(cuda::neighbors_workspace(args, config) / 8, ~std::uint64_t{0}));
  cuda::prepare_neighbors(args, config, workspace.data(), nullptr);
  for (std::size_t first = 0; first < M; first += config.queries_per_chunk)
    cuda::neighbors(args, config, first, std::min(M, first + config.queries_per_chunk), workspace.data(), nullptr);
  synchronize();
  Lists lists{std::vector<std::int32_t>(M * p.k), std::vector<float>(M * p.k)};
  for (std::size_t at = 0; at < M * p.k; ++at) {
    lists.indices[at] = indices[at / p.k * list_stride + at % p.k];
    lists.distances[at] = distances[at / p.k * list_stride + at % p.k];
  }
  return lists;
}

// Both round the same distances once, each with errors of some d 2^-53: they differ where that tips the rounding, by a
// step of 2^-23 of the distance at most, or of 2^-50 where cosines cancel.
void expect_same(const Lists& got, const Lists& want, std::size_t k) {
  std::size_t moved = 0;
  for (std::size_t at = 0; at < want.indices.size(); ++at) {
    ASSERT_NEAR(got.distances[at], want.distances[at], 0x1p-23 * want.distances[at] + 0x1p-50) << at / k;
    moved += got.indices[at] != want.indices[at];
  }
  EXPECT_LE(moved, want.indices.size() / 100);
}

class CudaNeighbors : public ::testing::TestWithParam<std::tuple<std::size_t, Problem>> {};

// In chunks of one tile, so that there are several; with what a variant holds, or one column less.
TEST_P(CudaNeighbors, AreExactWithEveryKernel) {
  auto [variant, p] = GetParam();
  const CandidatesVariant& kernel = *candidates_variant(variant);
  const unsigned slices = kernel.slices ? kernel.slices : 3;
  p.d = slices * cuda::kSliceColumns - p.d;
  if (p.k == 0) p.k = cuda::most_neighbors(kernel.capacity);
  const auto points = cloud(p.N, p.d, 1), queries = cloud(p.M, p.d, 2);
  const NeighborsConfig config{.filters = true,
                               .variant = variant,
                               .slices = slices,
                               .queries_per_chunk = cuda::kTileRows,
                               .exhaustive_blocks = 3};
  expect_same(search(p, points, queries, config), reference(p, points, queries), p.k);
}

INSTANTIATE_TEST_SUITE_P(Variants, CudaNeighbors,
                         ::testing::Combine(::testing::Range<std::size_t>(0, cuda::kMostCandidatesVariants),
                                            ::testing::Values(Problem{300, 0, 0, 7},
                                                              Problem{700, 130, 1, 3, Metric::cosine})));
INSTANTIATE_TEST_SUITE_P(LongLists, CudaNeighbors,
                         ::testing::Combine(::testing::Values(0, 5), ::testing::Values(Problem{2300, 2, 1, 0})));

// Sixteen tiles each way, in clusters whose parts only double tells apart and in columns that matter less and less.
TEST(CudaNeighborsOfMany, AreThoseOfTheCpuEngine) {
  constexpr std::size_t N = 2000, d = 60, k = 30;
  std::vector<float> points = random_normal(N * d, 1);
  for (std::size_t at = 0; at < N * d; ++at) {
    points[at] /= std::sqrt(static_cast<float>(at % d + 1));
    if (at / d % 3 == 0) points[at] = 1e-3f * points[at] + points[at % (40 * d)];
  }
  const auto search_with = [&](Engine& engine) {
    const Tensor x = on_engine(engine, points), indices = engine.allocate(DType::i32, {N, k}),
                 distances = engine.allocate(DType::f32, {N, k});
    engine.neighbors({.points = {x.vector<float>().data, N, d, d},
                      .indices = indices.matrix<std::int32_t>(),
                      .distances = distances.matrix<float>()});
    return Lists{on_host(engine, indices.matrix<std::int32_t>()), on_host(engine, distances.matrix<float>())};
  };
  expect_same(search_with(*make_emulated_engine()), search_with(*make_engine("cpu")), k);
}

TEST(CudaNeighborsExhaustive, AreExactWithoutCandidates) {
  for (const Problem& p : {Problem{150, 0, 17, 149}, Problem{300, 3, 5, 300, Metric::cosine}, Problem{1, 2, 3, 1}}) {
    const auto points = cloud(p.N, p.d, 1), queries = cloud(p.M, p.d, 2);
    const NeighborsConfig config{
        .filters = false, .variant = 0, .slices = 0, .queries_per_chunk = 128, .exhaustive_blocks = 5};
    expect_same(search(p, points, queries, config), reference(p, points, queries), p.k);
  }
}

// ---- candidates ----

// How many candidates each point has left of a search among themselves.
std::vector<int> candidates_left(const std::vector<float>& points, std::size_t N, std::size_t d, std::size_t k) {
  DeviceVector<float> x(points);
  DeviceVector<std::int32_t> indices(N * k);
  DeviceVector<float> distances(N * k);
  const NeighborsArgs args{
      .points = {x.data(), N, d, d}, .indices = {indices.data(), N, k, k}, .distances = {distances.data(), N, k, k}};
  const std::size_t tiles = (N + cuda::kTileRows - 1) / cuda::kTileRows, rows = tiles * cuda::kTileRows;
  const CandidatesVariant& variant = *candidates_variant(0);
  DeviceVector<cuda::NeighborsSummary> summary(1);
  DeviceVector<double> center(d);
  DeviceVector<std::uint16_t> rounded(rows * cuda::kSliceColumns);
  DeviceVector<cuda::RowTerms> terms(rows);
  DeviceVector<cuda::TileTerms> tile_terms(tiles);
  DeviceVector<cuda::Candidate> candidates(N * variant.capacity);
  DeviceVector<int> counts(N);
  DeviceVector<unsigned> overflows(1);
  DeviceVector<std::int32_t> overflowing(N);
  cuda::NeighborsTable table{.summary = summary.data(),
                             .center = center.data(),
                             .point_scales = nullptr,
                             .query_scales = nullptr,
                             .zeros = nullptr,
                             .points = {rounded.data(), terms.data()},
                             .tile_terms = tile_terms.data(),
                             .queries = {rounded.data(), terms.data()}};
  cuda::build_scales(args, table, nullptr);
  cuda::build_points_table(args, 1, table, nullptr);
  cuda::find_candidates({.table = table,
                         .points = N,
                         .queries = N,
                         .first_query = 0,
                         .slices = 1,
                         .neighbors = static_cast<unsigned>(k),
                         .self = true,
                         .candidates = candidates.data(),
                         .counts = counts.data(),
                         .overflows = overflows.data(),
                         .overflowing = overflowing.data()},
                        0, nullptr);
  synchronize();
  std::vector<std::int32_t> listed(overflowing.values().begin(), overflowing.values().begin() + overflows[0]), marked;
  for (std::size_t i = 0; i < N; ++i)
    if (counts[i] == cuda::kTooMany) marked.push_back(static_cast<std::int32_t>(i));
  EXPECT_THAT(listed, ::testing::UnorderedElementsAreArray(marked));
  return counts.values();
}

TEST(CudaCandidates, AreLittleMoreThanTheNeighbours) {
  constexpr std::size_t N = 900, d = 30, k = 20;
  const std::vector<int> left = candidates_left(random_normal(N * d, 1), N, d, k);
  EXPECT_GE(std::ranges::min(left), static_cast<int>(k));
  EXPECT_LE(std::ranges::max(left), static_cast<int>(2 * k));
}

// What a far point's rounding errs by is its own affair: its tile's at most, and no other row's.
TEST(CudaCandidates, OfNoOtherPointAreWidenedByAnOutlier) {
  constexpr std::size_t N = 900, d = 30, k = 20;
  std::vector<float> points = random_normal(N * d, 1);
  std::fill_n(points.begin() + 500 * d, d, 1e5f);
  const std::vector<int> left = candidates_left(points, N, d, k);
  for (std::size_t i = 0; i < N; ++i) {
    if (i == 500) continue;
    ASSERT_GE(left[i], static_cast<int>(k)) << i;
    ASSERT_LE(left[i], static_cast<int>(2 * k + 1)) << i;
  }
}

// 500 points beside 400 that bf16 cannot tell apart: these alone are too many.
TEST(CudaCandidates, AreGivenUpWhereTheyAreTooMany) {
  constexpr std::size_t N = 900, d = 30, k = 20;
  std::vector<float> points = random_normal(N * d, 1);
  for (std::size_t at = 500 * d; at < N * d; ++at) points[at] = 10 + points[at] * 1e-5f;
  const std::vector<int> left = candidates_left(points, N, d, k);
  for (std::size_t i = 0; i < N; ++i) ASSERT_EQ(left[i] == cuda::kTooMany, i >= 500) << i;
}

// ---- the configuration ----

TEST(CudaNeighborsConfig, TakesTheSmallestKernelThatHoldsTheRow) {
  const cudaDeviceProp a100 = device_of(simt::Architecture::kSm80), h100 = device_of(simt::Architecture::kSm90),
                       ada = device_of(simt::Architecture::kSm89);
  const auto slices_held = [](const cudaDeviceProp& device, std::size_t d, std::size_t k) {
    const NeighborsConfig config = cuda::choose_neighbors_config(100'000, 100'000, d, k, device);
    EXPECT_TRUE(config.filters);
    const CandidatesVariant& variant = *candidates_variant(config.variant);
    EXPECT_LE(variant.shared_bytes, device.sharedMemPerBlockOptin);
    EXPECT_GE(cuda::most_neighbors(variant.capacity), k);
    EXPECT_GE(config.slices * cuda::kSliceColumns, d);
    EXPECT_EQ(config.queries_per_chunk % (cuda::kTileRows * static_cast<unsigned>(device.multiProcessorCount)), 0u);
    return variant.slices;
  };
  for (const auto& device : {a100, h100}) {
    EXPECT_EQ(slices_held(device, 1, 1), 1u);
    EXPECT_EQ(slices_held(device, 64, 192), 1u);
    EXPECT_EQ(slices_held(device, 65, 90), 2u);
    EXPECT_EQ(slices_held(device, 129, 90), 4u);
    EXPECT_EQ(slices_held(device, 384, 90), 6u);
    EXPECT_EQ(slices_held(device, 385, 90), 0u);
    EXPECT_EQ(slices_held(device, 64, 193), 0u);
  }
  EXPECT_EQ(slices_held(ada, 128, 90), 2u);
  EXPECT_EQ(slices_held(ada, 384, 90), 0u);
}

TEST(CudaNeighborsConfig, MeasuresAllDistancesForListsLongerThanCandidatesAreKept) {
  const cudaDeviceProp device = device_of(simt::Architecture::kSm90);
  for (const std::size_t N : {2'000, 1'000'000}) {
    const NeighborsConfig config = cuda::choose_neighbors_config(N, N, 384, 1000, device);
    EXPECT_FALSE(config.filters);
    EXPECT_EQ(config.queries_per_chunk % cuda::kTileRows, 0u);
    EXPECT_GE(config.exhaustive_blocks, 1u);
    EXPECT_LE(config.exhaustive_blocks * N * 8, std::size_t{256} << 20);
  }
}

// A million rows of 128 columns, and of 384, in little more than their tables.
TEST(CudaNeighborsConfig, FitsAMillionRows) {
  const cudaDeviceProp device = device_of(simt::Architecture::kSm90);
  for (const std::size_t d : {128, 384})
    for (const std::size_t k : {90, 900}) {
      const std::size_t N = 1'000'000;
      const NeighborsArgs args{
          .points = {nullptr, N, d, d}, .indices = {nullptr, N, k, k}, .distances = {nullptr, N, k, k}};
      const NeighborsConfig config = cuda::choose_neighbors_config(N, N, d, k, device);
      EXPECT_LE(cuda::neighbors_workspace(args, config), N * d * 2 + (std::size_t{1} << 30)) << d << ", " << k;
    }
}

// ---- the engine ----

class CudaNeighborsEngine : public EmulatedDeviceTest {};

struct Results {
  Lists lists;
  std::vector<std::int32_t> columns;
  std::vector<float> values, global;
  bool operator==(const Results&) const = default;
};

Results work(std::size_t N = 20) {
  constexpr std::size_t d = 3, k = 9;
  const auto engine = make_emulated_engine();
  const Tensor points = on_engine(*engine, random_normal(N * d, 5));
  const Tensor indices = engine->allocate(DType::i32, {N, k}), distances = engine->allocate(DType::f32, {N, k});
  const MatrixView<const float> x{points.vector<float>().data, N, d, d};
  engine->neighbors({.points = x, .indices = indices.matrix<std::int32_t>(), .distances = distances.matrix<float>()});
  const SparseMatrix matrix = engine->affinities(
      {.indices = indices.matrix<std::int32_t>(), .distances = distances.matrix<float>(), .perplexity = 3});
  const SparseMatrix global = engine->global_affinities({.points = x.rows_from(0, 20)});
  return {{on_host(*engine, indices.matrix<std::int32_t>()), on_host(*engine, distances.matrix<float>())},
          on_host<std::int32_t>(*engine, matrix.columns),
          on_host<float>(*engine, matrix.values),
          on_host<float>(*engine, global.values)};
}

TEST_F(CudaNeighborsEngine, WaitsForNothing) {
  const auto engine = make_emulated_engine();
  const Tensor points = on_engine(*engine, random_normal(50 * 3, 5));
  const Tensor indices = engine->allocate(DType::i32, {50, 4}), distances = engine->allocate(DType::f32, {50, 4});
  const std::size_t before = simt::counters().synchronizations;
  NeighborsArgs args{.points = {points.vector<float>().data, 50, 3, 3},
                     .indices = indices.matrix<std::int32_t>(),
                     .distances = distances.matrix<float>()};
  engine->neighbors(args);
  EXPECT_EQ(simt::counters().synchronizations, before);
  std::vector<double> shares;
  const Control control{.stop = {}, .progress = [&](double share) { shares.push_back(share); }};
  args.control = &control;
  engine->neighbors(args);  // what it reports as done is
  EXPECT_EQ(simt::counters().pending, 0u);
  EXPECT_EQ(shares.back(), 1);
}

TEST_F(CudaNeighborsEngine, TellsAFailureOfAnyCallAndLeaksNothing) {
  const std::size_t before = simt::counters().calls;
  const Results want = work();
  const std::size_t calls = simt::counters().calls - before;
  std::size_t told = 0;
  for (std::size_t nth = 1; nth <= calls; ++nth) {
    simt::fail_call(static_cast<int>(nth));
    try {
      EXPECT_EQ(work(), want) << nth;  // the failure came in a destructor, after all work
    } catch (const Error& error) {
      ++told;
      EXPECT_EQ(error.code(), ErrorCode::kDevice) << nth;
      EXPECT_THAT(error.what(), ::testing::HasSubstr("unknown error")) << nth;
    }
    expect_nothing_held();
    simt::reset();
  }
  EXPECT_GT(told, calls / 2);
}

TEST_F(CudaNeighborsEngine, TellsThatMemoryRanOutAtAnyAllocationAndLeaksNothing) {
  work();
  const std::size_t allocations = simt::counters().allocations;
  EXPECT_GT(allocations, 10u);
  for (std::size_t nth = 1; nth <= allocations; ++nth) {
    // The next one too: the pool asks again when it has freed what it keeps.
    for (const std::size_t number : {nth, nth + 1})
      simt::fail_call("cudaMalloc", static_cast<int>(number), cudaErrorMemoryAllocation);
    try {
      work();
      ADD_FAILURE() << nth;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kOutOfMemory) << nth;
    }
    expect_nothing_held();
    simt::reset();
  }
}

TEST_F(CudaNeighborsEngine, GivesTheSameBitsInAnyOrderOfThreadsAndBlocks) {
  const Results want = work(140);
  const simt::ScheduleOptions before = simt::schedule();
  for (const auto& [threads, blocks] : {std::pair{simt::ThreadSchedule::kReverse, simt::BlockOrder::kReverse},
                                        {simt::ThreadSchedule::kRandom, simt::BlockOrder::kRandom},
                                        {simt::ThreadSchedule::kGreedyWarps, simt::BlockOrder::kForward}}) {
    simt::set_schedule({.threads = threads, .blocks = blocks, .seed = 7});
    EXPECT_EQ(work(140), want);
  }
  simt::set_schedule(before);
}

// On the device, where the call itself cannot look at the values.
TEST_F(CudaNeighborsEngine, NamesANeighbourOrDistanceThatCannotBe) {
  const auto engine = make_emulated_engine();
  const auto message_of = [&](std::size_t at, std::int32_t index, float distance) -> std::string {
    std::vector<std::int32_t> indices;
    std::vector<float> distances(10 * 2, 1.0f);
    for (std::int32_t i = 0; i < 10; ++i) indices.insert(indices.end(), {(i + 1) % 10, (i + 2) % 10});
    indices[at] = index;
    distances[at] = distance;
    const Tensor there = on_engine(*engine, indices), far = on_engine(*engine, distances);
    try {
      engine->affinities({.indices = {there.vector<std::int32_t>().data, 10, 2, 2},
                          .distances = {far.vector<float>().data, 10, 2, 2},
                          .perplexity = 1.5f});
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      return error.what();
    }
    return "accepted";
  };
  EXPECT_EQ(message_of(7, 10, 1), "affinities: indices[3, 1] is 10, needs to be 0 to 9 and not 3 itself");
  EXPECT_EQ(message_of(6, 3, 1), "affinities: indices[3, 0] is 3, needs to be 0 to 9 and not 3 itself");
  EXPECT_EQ(message_of(0, -1, 1), "affinities: indices[0, 0] is -1, needs to be 0 to 9 and not 0 itself");
  EXPECT_EQ(message_of(2, 3, -1), "affinities: distances[1, 0] is -1, needs to be finite and not negative");
  EXPECT_EQ(message_of(2, 3, INFINITY), "affinities: distances[1, 0] is inf, needs to be finite and not negative");
  EXPECT_EQ(message_of(2, 3, 1), "accepted");
}

TEST_F(CudaNeighborsEngine, SaysThatSigmaIsTooSmallForThePoints) {
  const auto engine = make_emulated_engine();
  const Tensor points = on_engine(*engine, std::vector<float>{0, 1, 2});
  try {
    engine->global_affinities({.points = {points.vector<float>().data, 3, 1, 1}, .sigma = 1e-3f});
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(error.what(), ::testing::HasSubstr("sigma is 0.001, too small for these points"));
  }
}

}  // namespace
}  // namespace lexiscope::testing
