// t-SNE on the cuda engine beyond what tests of the operations see: its choices, sums over bands, iterations that need
// no host, graphs that are captured again, arrays that are wrong, and faults at each call.
#include <gmock/gmock.h>

#include <cmath>
#include <functional>
#include <limits>

#include "host/engines/cuda/tsne_plan.h"
#include "kernels/cuda/tsne_map.h"
#include "simt/grid.h"
#include "simt/runtime.h"
#include "tests/support/emulated_device.h"
#include "tests/support/emulated_engine.h"
#include "tests/support/engine_memory.h"
#include "tests/support/errors.h"
#include "tests/support/tsne.h"

namespace lexiscope::testing {
namespace {

using cuda::choose_tsne_config, cuda::choose_tsne_exact_config;
using cuda::TsneMethod, cuda::TsneState, cuda::TsneStatus, cuda::CudaTsnePlan;
using ::testing::HasSubstr;

cudaDeviceProp device_with(int multiprocessors, std::size_t shared_kibibytes = 164) {
  cudaDeviceProp device{};
  device.multiProcessorCount = multiprocessors;
  device.sharedMemPerMultiprocessor = shared_kibibytes * 1024;
  device.reservedSharedMemPerBlock = 1024;
  return device;
}

// ---- choices

TEST(CudaTsneConfig, TakesAllPairsOfFewPointsAndAGridForMany) {
  EXPECT_EQ(choose_tsne_config(1000, 2, {20, 20, 0}, Repulsion::automatic).method, TsneMethod::exact);
  EXPECT_EQ(choose_tsne_config(30522, 2, {180, 180, 0}, Repulsion::automatic).method, TsneMethod::near_grid);
  EXPECT_EQ(choose_tsne_config(30522, 2, {20, 20, 0}, Repulsion::automatic).method, TsneMethod::grid);
  EXPECT_EQ(choose_tsne_config(100, 3, {20, 20, 20}, Repulsion::grid).method, TsneMethod::near_grid);
  EXPECT_EQ(choose_tsne_config(30522, 2, {180, 180, 0}, Repulsion::exact).method, TsneMethod::exact);
}

TEST(CudaTsneConfig, BoundsTheGrid) {
  for (const unsigned dimensions : {2u, 3u}) {
    EXPECT_EQ(choose_tsne_config(1000, dimensions, {1e15, 1e15, 1e15}, Repulsion::automatic).method, TsneMethod::exact);
    EXPECT_EQ(choose_tsne_config(1000, dimensions, {1e15, 1e15, 1e15}, Repulsion::grid).method, TsneMethod::none);
    const double nan = std::numeric_limits<double>::quiet_NaN();
    EXPECT_EQ(choose_tsne_config(1000, dimensions, {nan, nan, nan}, Repulsion::grid).method, TsneMethod::none);
    for (double side = 1e-30; side < 1e6; side *= 1.7) {
      const auto config = choose_tsne_config(250000, dimensions, {side, side / 3, side}, Repulsion::automatic);
      if (config.method == TsneMethod::exact) continue;
      double nodes = 1;
      for (unsigned axis = 0; axis < dimensions; ++axis) nodes *= 2.0 * config.nodes[axis];
      EXPECT_LE(nodes, cuda::kMostGridNodes);
      EXPECT_GE(config.nodes[0], side / config.spacing + cuda::kTsneWindowNodes);
      EXPECT_GE(config.nodes[1], side / 3 / config.spacing + cuda::kTsneWindowNodes);
      EXPECT_LE(config.spacing, 2.0 / 3);
    }
  }
}

// A map that grows by a thousandth at a time, from a point to hundreds.
TEST(CudaTsneConfig, SeldomChangesAsTheMapGrows) {
  int changes = 0, steps = 0;
  cuda::TsneConfig before;
  for (double side = 1e-4; side < 500; side *= 1.001, ++steps) {
    const auto config = choose_tsne_config(60000, 2, {side, side, 0}, Repulsion::automatic);
    changes += !(config == before);
    before = config;
  }
  EXPECT_LE(changes, 70) << "of " << steps;
  EXPECT_GE(changes, 20);
}

TEST(CudaTsneExactConfig, GivesTheDeviceEnoughTilesAndBoundsTheMemory) {
  EXPECT_EQ(choose_tsne_exact_config(2, 2, device_with(108)).rows, 1u);
  EXPECT_EQ(choose_tsne_exact_config(60000, 2, device_with(132)).rows, 8u);
  EXPECT_EQ(choose_tsne_exact_config(60000, 3, device_with(132)).rows, 4u);
  EXPECT_EQ(choose_tsne_exact_config(9000, 2, device_with(108)).rows, 2u);
  EXPECT_EQ(choose_tsne_exact_config(9000, 2, device_with(10)).rows, 8u);
  EXPECT_EQ(choose_tsne_exact_config(60000, 2, device_with(82, 100)).rows, 4u);  // fewer blocks than hide latencies
  for (const unsigned points : {2u, 1000u, 60000u, 1000000u})
    for (const unsigned dimensions : {2u, 3u}) {
      const auto config = choose_tsne_exact_config(points, dimensions, device_with(132));
      EXPECT_GE(config.band_tiles, 1u);
      EXPECT_LE(config.band_tiles, cuda::tsne_exact_tiles(points, config));
      EXPECT_LE(cuda::tsne_exact_workspace(points, dimensions, config), std::size_t{5} << 28);
    }
  EXPECT_EQ(choose_tsne_exact_config(60000, 2, device_with(132)).band_tiles, 59u);
}

// ---- kernels with configurations that the engine would not choose for few points

/// A map in device memory, ready for a repulsion.
struct DeviceMap {
  cuda::Machine machine;
  std::shared_ptr<void> memory;
  TsneState state;
  std::size_t used = 0;

  DeviceMap(const std::vector<float>& positions, unsigned dimensions, const cuda::TsneConfig& config, Repulsion allowed)
      : machine{.device = std::make_shared<cuda::Device>(0), .pool = {}, .stream = {}} {
    machine.pool = std::make_shared<cuda::MemoryPool>(machine.device, cuda::BlockSizes::exact);
    machine.stream = std::make_shared<cuda::Stream>(machine.device);
    state.points = static_cast<unsigned>(positions.size() / dimensions);
    state.dimensions = dimensions;
    memory = machine.pool->allocate(64 * (state.points + 64) + sizeof(TsneStatus));
    state.position = take<float>(state.points * state.pitch());
    state.force = take<float>(state.points * state.pitch());
    state.highs = take<int>(state.partials() * dimensions);
    state.lows = take<int>(state.partials() * dimensions);
    state.status = take<TsneStatus>(1);
    const TsneStatus fresh{};
    machine.stream->copy_to_device(state.status, std::as_bytes(std::span(&fresh, 1)));
    const auto from = machine.pool->allocate(positions.size() * sizeof(float));
    machine.stream->copy_to_device(from.get(), std::as_bytes(std::span(positions)));
    cuda::tsne_import(state, static_cast<const float*>(from.get()), nullptr, nullptr, allowed, config,
                      machine.stream->handle());
  }

  template <typename Element>
  Element* take(std::size_t count) {
    auto* const at = reinterpret_cast<Element*>(static_cast<std::byte*>(memory.get()) + used);
    used += (count * sizeof(Element) + 15) / 16 * 16;
    return at;
  }

  /// Force and Z as a gradient without attraction: -force / Z.
  Gradient gradient() {
    std::vector<float> force(state.points * state.pitch());
    machine.stream->copy_to_host(std::as_writable_bytes(std::span(force)), state.force);
    TsneStatus status;
    machine.stream->copy_to_host(std::as_writable_bytes(std::span(&status, 1)), state.status);
    EXPECT_EQ(status.active, 1u);
    EXPECT_FLOAT_EQ(status.repulsion_scale, static_cast<float>(1 / status.normalization));
    Gradient found{{}, status.normalization};
    for (unsigned i = 0; i < state.points; ++i)
      for (unsigned c = 0; c < state.dimensions; ++c)
        found.values.push_back(-force[i * state.pitch() + c] / static_cast<float>(status.normalization));
    return found;
  }
};

Gradient reference_gradient(const std::vector<float>& positions, std::size_t dimensions) {
  const auto reference = make_engine("reference");
  const auto p = random_affinities(*reference, positions.size() / dimensions, 2, 1);
  const auto plan = reference->plan_tsne({.affinities = &p, .dimensions = dimensions});
  return gradient_of(*reference, *plan, positions, 0);
}

class ExactTiles : public ::testing::TestWithParam<std::tuple<unsigned, unsigned, unsigned>> {
 protected:
  ExactTiles() { simt::reset(); }
};

// A chain of n terms errs by n u of their magnitudes; relative to the root of squares over the map that is far less.
TEST_P(ExactTiles, AgreeWithTheReferenceWhateverTheirSizeAndBand) {
  const auto [rows, band, dimensions] = GetParam();
  const unsigned points = 2 * rows * cuda::kTsneExactThreads + 45;  // three tiles, the last nearly empty
  const auto positions = random_normal(points * dimensions, rows, 2, 5);
  const auto want = reference_gradient(positions, dimensions);
  DeviceMap map(positions, dimensions, {.method = TsneMethod::exact}, Repulsion::exact);
  const cuda::TsneExactConfig config{.rows = rows, .band_tiles = band};
  const auto workspace = map.machine.pool->allocate(cuda::tsne_exact_workspace(points, dimensions, config));
  cuda::tsne_exact_repulsion(map.state, config, workspace.get(), map.machine.stream->handle());
  const auto got = map.gradient();
  EXPECT_LE(relative_error(got.values, want.values), 5e-6);
  EXPECT_NEAR(got.normalization / want.normalization, 1, 1e-6);
}

INSTANTIATE_TEST_SUITE_P(Sizes, ExactTiles,
                         ::testing::Combine(::testing::Values(1u, 2u, 4u), ::testing::Values(1u, 3u),
                                            ::testing::Values(2u, 3u)));
INSTANTIATE_TEST_SUITE_P(Largest, ExactTiles,
                         ::testing::Combine(::testing::Values(8u), ::testing::Values(2u), ::testing::Values(2u)));

// A fine grid in 3-D, which the engine takes for many points only.
TEST(CudaTsneGrid, IsRightInThreeDimensionsWithoutANearField) {
  simt::reset();
  const auto positions = random_normal(3 * 400, 5, 1, 1);
  const auto want = reference_gradient(positions, 3);
  cuda::TsneConfig config{.method = TsneMethod::grid, .nodes = {40, 40, 40}, .spacing = 0.25};
  DeviceMap map(positions, 3, config, Repulsion::grid);
  TsneStatus status;
  map.machine.stream->copy_to_host(std::as_writable_bytes(std::span(&status, 1)), map.state.status);
  status.wanted = config;  // what the engine would choose is another
  map.machine.stream->copy_to_device(map.state.status, std::as_bytes(std::span(&status, 1)));
  cuda::tsne_activate(map.state, config, map.machine.stream->handle());
  std::size_t bytes = 0;
  cuda::cut_tsne_grid(config, 400, 3, nullptr, bytes);
  const auto memory = map.machine.pool->allocate(bytes);
  const auto grid = cuda::cut_tsne_grid(config, 400, 3, memory.get(), bytes);
  const cuda::Transforms transforms(map.machine.device, *map.machine.pool, *map.machine.stream, grid, 3);
  const auto filters = cuda::tsne_grid_filters(grid, 3);
  map.machine.stream->copy_to_device(grid.filters, std::as_bytes(std::span(filters)));
  cuda::prepare_tsne_grid(grid, 3, transforms.handles(), map.machine.stream->handle());
  for (int time = 0; time < 2; ++time) {  // the second finds no charges of the first
    cuda::tsne_grid_repulsion(map.state, grid, transforms.handles(), map.machine.stream->handle());
    const auto got = map.gradient();
    EXPECT_LE(relative_error(got.values, want.values), 5e-3);
    EXPECT_NEAR(got.normalization / want.normalization, 1, 1e-4);
  }
}

// ---- the engine

struct Descent {
  std::unique_ptr<Engine> engine = make_emulated_engine();
  std::size_t n, dimensions;
  std::unique_ptr<TsnePlan> plan;
  Tensor positions, update, gains, gradient;

  Descent(std::size_t points, std::size_t axes, float deviation, Repulsion repulsion) : n(points), dimensions(axes) {
    const auto host = make_engine("cpu");
    const SparseMatrix on_host = random_affinities(*host, n, 9, 3);
    const SparseMatrix p{.row_offsets = copy<std::int64_t>(on_host.row_offsets),
                         .columns = copy<std::int32_t>(on_host.columns),
                         .values = copy<float>(on_host.values)};
    plan = engine->plan_tsne({.affinities = &p, .dimensions = dimensions, .repulsion = repulsion});
    positions = on_engine(*engine, random_normal(n * dimensions, 4, 0, deviation));
    update = on_engine(*engine, std::vector<float>(n * dimensions));
    gains = on_engine(*engine, std::vector<float>(n * dimensions, 1.0f));
    gradient = engine->allocate(DType::f32, {n * dimensions});
  }

  template <typename Element>
  Tensor copy(const Tensor& host) {
    const auto values = host.vector<Element>();
    return on_engine(*engine, std::vector<Element>(values.data, values.data + values.size));
  }
  MatrixView<float> map(const Tensor& tensor) const { return {tensor.vector<float>().data, n, dimensions, dimensions}; }
  void step(std::size_t iterations, float rate = 20) {
    engine->tsne_step({.plan = plan.get(),
                       .positions = map(positions),
                       .update = map(update),
                       .gains = map(gains),
                       .iterations = iterations,
                       .exaggeration = 4,
                       .learning_rate = rate});
  }
  double run_gradient() {
    double z = 0;
    engine->tsne_gradient(
        {.plan = plan.get(), .positions = map(positions), .gradient = map(gradient), .normalization = &z});
    return z;
  }
  std::vector<float> result(const Tensor& tensor) { return on_host<float>(*engine, tensor); }
  void put(const std::vector<float>& values, const Tensor& tensor) {
    engine->copy_to_engine(dense_view<const void>(values.data(), DType::f32, std::array{values.size()}), tensor);
  }
  std::size_t captures() const { return static_cast<CudaTsnePlan&>(*plan).captures(); }
};

class CudaTsneTest : public EmulatedDeviceTest {};

TEST_F(CudaTsneTest, WaitsForTheDeviceOnceACallWhateverTheIterations) {
  for (const Repulsion repulsion : {Repulsion::exact, Repulsion::grid}) {
    Descent run(130, 2, 3, repulsion);
    run.step(1);  // the first finds out which repulsion the map wants
    for (const std::size_t iterations : {1u, 10u}) {
      const std::size_t before = simt::counters().synchronizations;
      run.step(iterations, 1e-3f);
      EXPECT_EQ(simt::counters().synchronizations, before + 1);
    }
    EXPECT_EQ(run.captures(), 1u);
  }
}

// Points that fly apart: the grid that was right for them is not any more, in the middle of a call.
TEST_F(CudaTsneTest, CapturesAgainWhereTheMapOutgrowsItsGridAndTakesTheSamePath) {
  Descent together(130, 2, 3, Repulsion::grid), apart(130, 2, 3, Repulsion::grid);
  together.step(10, 4000);
  for (int k = 0; k < 10; ++k) apart.step(1, 4000);
  EXPECT_GT(together.captures(), 1u);
  EXPECT_LT(together.captures(), 8u);
  EXPECT_EQ(together.result(together.positions), apart.result(apart.positions));
  EXPECT_EQ(together.result(together.gains), apart.result(apart.gains));
}

TEST_F(CudaTsneTest, GivesTheSameBitsInAnyOrderOfThreadsAndBlocks) {
  const auto path = [](std::size_t dimensions, Repulsion repulsion) {
    Descent run(70, dimensions, 3, repulsion);
    run.step(1);
    const double z = run.run_gradient();
    auto found = run.result(run.positions);
    const auto gradient = run.result(run.gradient);
    found.insert(found.end(), gradient.begin(), gradient.end());
    found.push_back(static_cast<float>(z));
    return found;
  };
  const simt::ScheduleOptions before = simt::schedule();
  for (const std::size_t dimensions : {2u, 3u})
    for (const Repulsion repulsion : {Repulsion::exact, Repulsion::grid}) {
      const auto want = path(dimensions, repulsion);
      for (const auto& [threads, blocks] : {std::pair{simt::ThreadSchedule::kReverse, simt::BlockOrder::kReverse},
                                            {simt::ThreadSchedule::kRandom, simt::BlockOrder::kRandom},
                                            {simt::ThreadSchedule::kGreedyWarps, simt::BlockOrder::kForward}}) {
        simt::set_schedule({.threads = threads, .blocks = blocks, .seed = 7});
        EXPECT_EQ(path(dimensions, repulsion), want);
      }
      simt::set_schedule(before);
    }
}

TEST_F(CudaTsneTest, NamesTheValueThatIsWrongAndChangesNothing) {
  Descent run(130, 2, 3, Repulsion::exact);
  const auto right = run.result(run.positions), zeros = run.result(run.update), ones = run.result(run.gains);
  const auto with = [](std::vector<float> values, std::size_t at, float value) {
    values[at] = value;
    return values;
  };
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  run.put(with(right, 5, nan), run.positions);
  EXPECT_EQ(message_of([&] { run.run_gradient(); }), "tsne_gradient: positions has nan in row 2, column 1");
  EXPECT_EQ(message_of([&] { run.step(3); }), "tsne_step: positions has nan in row 2, column 1");
  EXPECT_EQ(run.result(run.gains), ones);
  run.put(with(right, 258, -2e15f), run.positions);
  EXPECT_EQ(message_of([&] { run.run_gradient(); }),
            "tsne_gradient: positions has -2000000000000000 in row 129, column 0, needs at most 1000000000000000 in "
            "magnitude");
  run.put(right, run.positions);
  run.put(with(zeros, 3, -infinity), run.update);
  EXPECT_EQ(message_of([&] { run.step(3); }), "tsne_step: update has -inf in row 1, column 1");
  run.put(zeros, run.update);
  run.put(with(ones, 0, nan), run.gains);
  EXPECT_EQ(message_of([&] { run.step(3); }), "tsne_step: gains has nan in row 0, column 0");
  EXPECT_EQ(run.result(run.positions), right);
  run.put(ones, run.gains);
  EXPECT_NO_THROW(run.step(3));
  EXPECT_NE(run.result(run.positions), right);
}

TEST_F(CudaTsneTest, ChecksAffinitiesWhereTheyAre) {
  const auto engine = make_emulated_engine();
  struct Arrays {
    std::vector<std::int64_t> offsets{0, 2, 3, 4};
    std::vector<std::int32_t> columns{1, 2, 0, 0};
    std::vector<float> values{0.25f, 0.25f, 0.25f, 0.25f};
  };
  const Tensor positions = on_engine(*engine, random_normal(6, 1));
  const auto expect = [&](const std::string& message, const std::function<void(Arrays&)>& change) {
    Arrays arrays;
    change(arrays);
    const SparseMatrix p{.row_offsets = on_engine(*engine, arrays.offsets),
                         .columns = on_engine(*engine, arrays.columns),
                         .values = on_engine(*engine, arrays.values)};
    EXPECT_EQ(message_of([&] { engine->plan_tsne({.affinities = &p}); }), "plan_tsne: affinities." + message);
    EXPECT_EQ(message_of([&] {
                engine->tsne_kl({.affinities = &p, .positions = {positions.vector<float>().data, 3, 2, 2}});
              }),
              "tsne_kl: affinities." + message);
  };
  const std::string ascending = ", needs ascending columns of 0 to 2 other than the row";
  expect("row_offsets begins with 1, needs 0", [](Arrays& a) { a.offsets[0] = 1; });
  expect("row_offsets goes from 0 to 9 in row 0 of 4 entries", [](Arrays& a) { a.offsets[1] = 9; });
  expect("row_offsets goes from 2 to -3 in row 1 of 4 entries", [](Arrays& a) { a.offsets[2] = -3; });
  expect("row_offsets ends with 3, affinities has 4 entries", [](Arrays& a) { a.offsets[3] = 3; });
  expect("columns has 3 at entry 1 of row 0" + ascending, [](Arrays& a) { a.columns[1] = 3; });
  expect("columns has -1 at entry 0 of row 0" + ascending, [](Arrays& a) { a.columns[0] = -1; });
  expect("columns has 0 at entry 0 of row 0" + ascending, [](Arrays& a) { a.columns[0] = 0; });
  expect("columns has 1 at entry 1 of row 0" + ascending, [](Arrays& a) { a.columns[1] = 1; });
  expect("values has -1 in row 2, column 0, needs a finite value that is not negative",
         [](Arrays& a) { a.values[3] = -1; });
  expect("values has inf in row 2, column 0, needs a finite value that is not negative",
         [](Arrays& a) { a.values[3] = std::numeric_limits<float>::infinity(); });
}

TEST_F(CudaTsneTest, DivergenceNamesWhatIsWrongAndStops) {
  const auto engine = make_emulated_engine();
  const SparseMatrix p{.row_offsets = on_engine<std::int64_t>(*engine, {0, 1, 2}),
                       .columns = on_engine<std::int32_t>(*engine, {1, 0}),
                       .values = on_engine<float>(*engine, {0.5f, 0.5f})},
      none{.row_offsets = p.row_offsets, .columns = p.columns, .values = on_engine<float>(*engine, {0, 0})};
  Tensor positions = on_engine<float>(*engine, {0, 1, 9, 2, 3, 9});  // with something between the rows
  const MatrixView<const float> map{positions.vector<float>().data, 2, 2, 3};
  EXPECT_NEAR(engine->tsne_kl({.affinities = &p, .positions = map}), 0, 1e-15);
  EXPECT_EQ(message_of([&] { engine->tsne_kl({.affinities = &none, .positions = map}); }),
            "tsne_kl: affinities has no positive value among 2 entries");
  double share = 0;
  std::stop_source source;
  const Control control{.stop = source.get_token(), .progress = [&](double done) { share = done; }};
  engine->tsne_kl({.affinities = &p, .positions = map, .control = &control});
  EXPECT_EQ(share, 1);
  source.request_stop();
  const auto stopped = failure_of([&] { engine->tsne_kl({.affinities = &p, .positions = map, .control = &control}); });
  ASSERT_TRUE(stopped.has_value());
  EXPECT_EQ(stopped->code(), ErrorCode::kCancelled);
  positions = on_engine<float>(*engine, {0, 1, 9, 2, 2e15f, 9});
  EXPECT_EQ(message_of([&] {
              engine->tsne_kl({.affinities = &p, .positions = {positions.vector<float>().data, 2, 2, 3}});
            }),
            "tsne_kl: positions has 2000000000000000 in row 1, column 1, needs at most 1000000000000000 in magnitude");
}

/// A bit of everything, and what came of it. A grid makes every call that all pairs make.
std::vector<float> work() {
  Descent run(20, 2, 3, Repulsion::grid);
  run.step(1);
  run.run_gradient();
  std::vector<float> found = run.result(run.positions);
  const auto gradient = run.result(run.gradient);
  found.insert(found.end(), gradient.begin(), gradient.end());
  return found;
}

TEST_F(CudaTsneTest, TellsAFailureOfAnyCallAndLeaksNothing) {
  const std::size_t before = simt::counters().calls;
  const auto want = work();
  const std::size_t calls = simt::counters().calls - before;
  std::size_t told = 0;
  for (std::size_t nth = 1; nth <= calls; ++nth) {
    simt::fail_call(static_cast<int>(nth));
    std::vector<float> got;
    if (const auto failure = failure_of([&] { got = work(); })) {
      ++told;
      EXPECT_EQ(failure->code(), ErrorCode::kDevice) << nth << failure->what();
    } else {
      EXPECT_EQ(got, want) << nth;  // the failure came in a destructor, after all work
    }
    expect_nothing_held();
    simt::reset();
  }
  EXPECT_GT(told, calls / 2);
}

TEST_F(CudaTsneTest, TellsThatMemoryRanOutAtAnyAllocationAndLeaksNothing) {
  work();
  const std::size_t allocations = simt::counters().allocations;
  EXPECT_GT(allocations, 10u);
  for (std::size_t nth = 1; nth <= allocations; ++nth) {
    // Twice: the engine tries again once it has freed what it keeps.
    simt::fail_call("cudaMalloc", static_cast<int>(nth), cudaErrorMemoryAllocation);
    simt::fail_call("cudaMalloc", static_cast<int>(nth) + 1, cudaErrorMemoryAllocation);
    const auto failure = failure_of([] { work(); });
    ASSERT_TRUE(failure.has_value()) << nth;
    EXPECT_EQ(failure->code(), ErrorCode::kOutOfMemory);
    EXPECT_THAT(failure->what(), HasSubstr(" bytes were asked for"));
    expect_nothing_held();
    simt::reset();
  }
  simt::fail_call("cufftMakePlanMany", 1, CUFFT_ALLOC_FAILED);
  const auto failure = failure_of([] { work(); });
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->code(), ErrorCode::kOutOfMemory);
  EXPECT_THAT(failure->what(), HasSubstr("cufftMakePlanMany failed on device 0 ("));
}

}  // namespace
}  // namespace lexiscope::testing
