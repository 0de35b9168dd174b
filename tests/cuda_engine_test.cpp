// The engine around the CUDA kernels, on the emulator: its memory, its copies, what it says when a device is missing or
// breaks, and that nothing is leaked on the way out.
#include "host/engines/cuda/cuda_engine.h"

#include <gmock/gmock.h>

#include <cmath>
#include <functional>

#include "host/engines/cuda/availability.h"
#include "host/engines/cuda/packed_matrix.h"
#include "host/engines/cuda_plugin.h"
#include "simt/grid.h"
#include "simt/runtime.h"
#include "tests/support/bf16.h"
#include "tests/support/compare.h"
#include "tests/support/emulated_device.h"
#include "tests/support/emulated_engine.h"
#include "tests/support/engine_memory.h"

extern "C" const lexiscope::CudaPlugin* lexiscope_cuda_plugin();

namespace lexiscope::testing {
namespace {

using cuda::BlockSizes, cuda::Device, cuda::MemoryPool, cuda::Stream;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::ContainsRegex;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr std::size_t kMebibyte = std::size_t{1} << 20;

template <typename Call>
void expect_failure(ErrorCode code, const std::string& part, Call&& call) {
  const auto failure = failure_of(call);
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->code(), code);
  EXPECT_THAT(failure->what(), HasSubstr(part));
}

class CudaEngineTest : public EmulatedDeviceTest {};

TEST(CudaMemoryClasses, RoundUpByAtMostAnEighth) {
  EXPECT_EQ(cuda::size_class(1), 512u);
  EXPECT_EQ(cuda::size_class(512), 512u);
  EXPECT_EQ(cuda::size_class(513), 576u);
  EXPECT_EQ(cuda::size_class(1024), 1024u);
  EXPECT_EQ(cuda::size_class(1025), 1152u);
  std::size_t before = 0;
  for (std::size_t bytes = 512; bytes < 100'000; bytes += 37) {
    const std::size_t size = cuda::size_class(bytes);
    EXPECT_GE(size, bytes);
    EXPECT_LE(size, bytes + bytes / 8 + 1);
    EXPECT_EQ(cuda::size_class(size), size);
    EXPECT_GE(size, before);
    before = size;
  }
}

TEST_F(CudaEngineTest, UsesABlockAgainForItsClass) {
  const auto device = std::make_shared<Device>(0);
  const auto pool = std::make_shared<MemoryPool>(device, BlockSizes::classes);
  const void* const first = pool->allocate(1000).get();  // given back at once
  EXPECT_EQ(pool->used_bytes(), 0u);
  EXPECT_EQ(pool->kept_bytes(), 1024u);
  const auto again = pool->allocate(961);
  EXPECT_EQ(again.get(), first);
  EXPECT_NE(pool->allocate(960).get(), first);
  EXPECT_EQ(simt::counters().allocations, 2u);
  pool->trim();
  EXPECT_EQ(simt::counters().device_allocations, 1u);
}

TEST_F(CudaEngineTest, GivesExactBlocksWhereAsked) {
  const auto pool = std::make_shared<MemoryPool>(std::make_shared<Device>(0), BlockSizes::exact);
  const auto block = pool->allocate(77), empty = pool->allocate(0);
  EXPECT_EQ(simt::counters().device_bytes, 78u);
  EXPECT_NE(empty.get(), nullptr);
}

TEST_F(CudaEngineTest, MemoryOutlivesEngineAndPool) {
  Tensor tensor;
  std::unique_ptr<PackedMatrix> packed;
  {
    const auto engine = make_emulated_engine();
    tensor = engine->allocate(DType::f32, {100});
    const std::vector<float> weight(6, 1.0f);
    packed = engine->pack({weight.data(), 2, 3, 3});
  }
  EXPECT_EQ(simt::counters().device_allocations, 2u);
  EXPECT_EQ(simt::counters().streams, 0u);
  packed.reset();
  tensor = {};
}

TEST_F(CudaEngineTest, FreesWhatItKeepsBeforeItRunsOutOfMemory) {
  simt::set_memory_limit(10 * kMebibyte);
  const auto pool = std::make_shared<MemoryPool>(std::make_shared<Device>(0), BlockSizes::classes);
  pool->allocate(6 * kMebibyte);
  EXPECT_EQ(pool->kept_bytes(), 6 * kMebibyte);
  const auto larger = pool->allocate(8 * kMebibyte);
  EXPECT_EQ(pool->kept_bytes(), 0u);
  EXPECT_EQ(pool->used_bytes(), 8 * kMebibyte);
}

TEST_F(CudaEngineTest, SaysHowMuchWasAskedHeldAndFree) {
  simt::set_device(simt::Architecture::kSm80, 10 * kMebibyte);
  const auto engine = make_emulated_engine();
  const Tensor held = engine->allocate(DType::f32, {kMebibyte});
  const auto failure = failure_of([&] { engine->allocate(DType::u8, {7 * kMebibyte}); });
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->code(), ErrorCode::kOutOfMemory);
  EXPECT_THAT(
      failure->what(),
      AllOf(StartsWith("out of device memory: 7340032 bytes were asked for; of the 10485760 bytes of device 0 ("),
            HasSubstr(") this engine holds 4194304, 6291456 are free")));
  EXPECT_NO_THROW(engine->allocate(DType::u8, {5 * kMebibyte}));  // and goes on
  expect_failure(ErrorCode::kOutOfMemory, "size overflows", [&] { engine->allocate(DType::f64, {SIZE_MAX / 4, 9}); });
}

TEST_F(CudaEngineTest, AllocatesZeros) {
  const auto engine = make_emulated_engine();
  for (int time = 0; time < 2; ++time) {  // fresh memory, then memory that was used before
    const Tensor tensor = engine->allocate(DType::f32, {1000});
    EXPECT_THAT(on_host<float>(*engine, tensor), Each(0.0f));
    const std::vector<float> ones(1000, 1.0f);
    engine->copy_to_engine(dense_view<const void>(ones.data(), DType::f32, std::array<std::size_t, 1>{1000}), tensor);
    EXPECT_EQ(on_host<float>(*engine, tensor), ones);
  }
  EXPECT_EQ(simt::counters().allocations, 1u);
  EXPECT_NO_THROW(engine->allocate(DType::f32, {0, 5}));
}

// Sizes about those of the pinned buffers, and one that takes each of them twice and more.
TEST_F(CudaEngineTest, CopiesArraysOfAnySizeBothWays) {
  const auto engine = make_emulated_engine();
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{63}, Stream::kBufferBytes - 1, Stream::kBufferBytes,
                                  Stream::kBufferBytes + 1, 4 * Stream::kBufferBytes + 12345}) {
    std::vector<std::uint8_t> values(bytes);
    for (std::size_t i = 0; i < bytes; ++i) values[i] = static_cast<std::uint8_t>(i * 31 + i / 251);
    const Tensor tensor = on_engine(*engine, values);
    EXPECT_TRUE(on_host<std::uint8_t>(*engine, tensor) == values) << bytes;
  }
}

// Also where the device has not begun: the stream of the stand-in executes nothing before somebody waits.
TEST_F(CudaEngineTest, LeavesTheSourceOfACopyToTheCaller) {
  const auto engine = make_emulated_engine();
  const std::size_t count = Stream::kBufferBytes / sizeof(float) + 17;
  std::vector<float> values = random_normal(count, 1);
  const std::vector<float> before = values;
  const Tensor tensor = on_engine(*engine, values);
  std::fill(values.begin(), values.end(), -1.0f);
  EXPECT_EQ(on_host<float>(*engine, tensor), before);
}

TEST_F(CudaEngineTest, WaitsForNothingButWhatIsRead) {
  const auto engine = make_emulated_engine();
  const std::vector<float> weight = random_normal(48 * 32, 1);
  const std::size_t before = simt::counters().synchronizations;
  const Tensor x = on_engine(*engine, random_normal(9 * 32, 2)), gain = on_engine(*engine, random_normal(32, 3));
  const Tensor y = engine->allocate(DType::f32, {9, 48});
  const MatrixView<float> rows{x.vector<float>().data, 9, 32, 32};
  const auto packed = engine->pack({weight.data(), 48, 32, 32});
  engine->layer_norm({.x = rows, .gain = gain.vector<float>(), .y = rows});
  engine->linear({.x = rows, .weight = packed.get(), .y = y.matrix<float>()});
  EXPECT_EQ(simt::counters().synchronizations, before);
  EXPECT_GT(simt::counters().pending, 0u);
  on_host(*engine, y.matrix<float>());
  EXPECT_EQ(simt::counters().pending, 0u);
}

// The last rows of a weight that does not fit one pinned buffer, in either type, with the zeros behind each row.
TEST_F(CudaEngineTest, PacksRowsOfWholePieces) {
  const auto device = std::make_shared<Device>(0);
  const auto pool = std::make_shared<MemoryPool>(device, BlockSizes::exact);
  Stream stream(device);
  constexpr std::size_t kRows = 5, kColumns = 700'001, kStride = kColumns + 3;
  const std::vector<float> weight = random_normal(kRows * kStride, 1);
  const auto check = [&]<typename Element>(DType precision, Element (*convert)(float)) {
    const cuda::CudaPackedMatrix packed({weight.data(), kRows, kColumns, kStride}, precision, "cuda", *pool, stream);
    const cuda::PackedWeights& layout = packed.weights();
    EXPECT_EQ(layout.stride * sizeof(Element) % 16, 0u);
    std::vector<Element> got(kRows * layout.stride);
    stream.copy_to_host(std::as_writable_bytes(std::span(got)), layout.data);
    std::size_t wrong = 0;
    for (std::size_t row = 0; row < kRows; ++row)
      for (std::size_t column = 0; column < layout.stride; ++column)
        wrong += got[row * layout.stride + column] !=
                 (column < kColumns ? convert(weight[row * kStride + column]) : convert(0.0f));
    EXPECT_EQ(wrong, 0u);
  };
  check(
      DType::f32, +[](float value) { return value; });
  check(
      DType::bf16, +[](float value) { return to_bf16(value); });
}

TEST_F(CudaEngineTest, DescribesTheDevice) {
  simt::set_device(simt::Architecture::kSm90);
  const auto engine = make_emulated_engine();
  EXPECT_EQ(engine->name(), "cuda-emulated");
  EXPECT_THAT(engine->description(), AllOf(HasSubstr("H100"), HasSubstr("compute capability 9.0"),
                                           ContainsRegex("cuBLAS [0-9]+[.][0-9]+[.][0-9]+, cuFFT [0-9]+[.][0-9]+[.]"
                                                         "[0-9]+, cuSOLVER [0-9]+[.][0-9]+[.][0-9]+")));
  EXPECT_FALSE(engine->memory_is_host());
}

TEST_F(CudaEngineTest, TakesPerceptronsOfOneTypeOnly) {
  const auto engine = make_emulated_engine();
  const std::vector<float> weight(6, 1.0f);
  const auto up = engine->pack({weight.data(), 3, 2, 2}), down = engine->pack({weight.data(), 2, 3, 3}, DType::bf16);
  const Tensor x = engine->allocate(DType::f32, {1, 2}), y = engine->allocate(DType::f32, {1, 2});
  expect_failure(
      ErrorCode::kUnsupported,
      "gelu_mlp: weights of several types are not supported, up is f32, gate f32 "
      "and down bf16",
      [&] { engine->gelu_mlp({.x = x.matrix<float>(), .up = up.get(), .down = down.get(), .y = y.matrix<float>()}); });
}

// Whole numbers, whose sums are exact in any order.
TEST_F(CudaEngineTest, MultipliesByCublasLtWhereAsked) {
  const auto product = [](ProductLibrary products) {
    const auto engine = make_emulated_engine(products);
    std::vector<float> values(11 * 7);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i * 5 % 9) - 4;
    const auto weight = engine->pack({values.data(), 11, 7, 7});
    const Tensor x = on_engine(*engine, values), y = engine->allocate(DType::f32, {3, 11});
    engine->linear({.x = {x.vector<float>().data, 3, 7, 7}, .weight = weight.get(), .y = y.matrix<float>()});
    EXPECT_EQ(simt::counters().blas_handles, products == ProductLibrary::own ? 0u : 1u);
    return on_host(*engine, y.matrix<float>());
  };
  EXPECT_EQ(product(ProductLibrary::cublas_lt), product(ProductLibrary::own));
}

TEST_F(CudaEngineTest, SaysWhatComputesItsProducts) {
  using enum ProductLibrary;
  for (const auto& [products, text] : {std::pair{automatic, ", large products by cuBLASLt"},
                                       {own, ", products by own kernels"},
                                       {cublas_lt, ", products by cuBLASLt"}})
    EXPECT_THAT(make_emulated_engine(products)->description(), ::testing::EndsWith(text));
}

// A product of ones: in every place the length of the contraction.
std::vector<float> product_of_ones(Engine& engine, std::size_t rows, std::size_t in, std::size_t out) {
  const std::vector<float> weight(out * in, 1.0f);
  const auto packed = engine.pack({weight.data(), out, in, in});
  const Tensor x = on_engine(engine, std::vector<float>(rows * in, 1.0f)), y = engine.allocate(DType::f32, {rows, out});
  engine.linear({.x = {x.vector<float>().data, rows, in, in}, .weight = packed.get(), .y = y.matrix<float>()});
  return on_host(engine, y.matrix<float>());
}

TEST_F(CudaEngineTest, MultipliesByCublasLtOnlyWhatIsLargeIfLeftToItself) {
  const auto engine = make_emulated_engine();
  EXPECT_THAT(product_of_ones(*engine, 3, 512, 8), Each(512));
  EXPECT_EQ(simt::counters().blas_handles, 0u);
  EXPECT_THAT(product_of_ones(*engine, 1024, 1024, 1024), Each(1024));
  EXPECT_EQ(simt::counters().blas_handles, 1u);
}

/// A bit of everything that an engine does, and what it computed.
std::vector<float> work(ProductLibrary products = ProductLibrary::automatic) {
  const auto engine = make_emulated_engine(products);
  const std::vector<float> weight = random_normal(24 * 16, 1);
  const Tensor x = on_engine(*engine, random_normal(5 * 16, 2)), gain = on_engine(*engine, random_normal(16, 3));
  const MatrixView<float> rows{x.vector<float>().data, 5, 16, 16};
  const auto up = engine->pack({weight.data(), 24, 16, 16}), down = engine->pack({weight.data(), 16, 24, 24});
  const Tensor y = engine->allocate(DType::f32, {5, 16});
  engine->rms_norm({.x = rows, .gain = gain.vector<float>(), .y = rows});
  engine->gelu_mlp({.x = rows, .up = up.get(), .down = down.get(), .y = y.matrix<float>()});
  return on_host(*engine, y.matrix<float>());
}

void expect_every_failure_to_be_told(ProductLibrary products) {
  const std::size_t before = simt::counters().calls;
  const std::vector<float> want = work(products);
  const std::size_t calls = simt::counters().calls - before;
  std::size_t told = 0;
  for (std::size_t nth = 1; nth <= calls; ++nth) {
    simt::fail_call(static_cast<int>(nth));
    std::vector<float> got;
    const auto failure = failure_of([&] { got = work(products); });
    if (failure) {
      ++told;
      EXPECT_EQ(failure->code(), ErrorCode::kDevice) << nth;
      EXPECT_THAT(failure->what(), AnyOf(HasSubstr("unknown error"), HasSubstr("CUBLAS_STATUS_INTERNAL_ERROR"))) << nth;
    } else {
      EXPECT_EQ(got, want) << nth;  // the failure came in a destructor, after all work
    }
    expect_nothing_held();
    simt::reset();
  }
  EXPECT_GT(told, calls / 2);
}

TEST_F(CudaEngineTest, TellsAFailureOfAnyCallAndLeaksNothing) {
  expect_every_failure_to_be_told(ProductLibrary::automatic);
}

TEST_F(CudaEngineTest, TellsAFailureOfAnyCallOfTheProductLibraryToo) {
  expect_every_failure_to_be_told(ProductLibrary::cublas_lt);
}

TEST_F(CudaEngineTest, TellsThatMemoryRanOutAtAnyAllocationAndLeaksNothing) {
  work();
  const std::size_t allocations = simt::counters().allocations;
  EXPECT_GT(allocations, 5u);
  for (std::size_t nth = 1; nth <= allocations; ++nth) {
    simt::fail_call("cudaMalloc", static_cast<int>(nth), cudaErrorMemoryAllocation);
    expect_failure(ErrorCode::kOutOfMemory, " bytes were asked for", [] { work(); });
    expect_nothing_held();
    simt::reset();
  }
  for (const int nth : {1, 2}) {
    simt::fail_call("cudaMallocHost", nth, cudaErrorMemoryAllocation);
    expect_failure(ErrorCode::kOutOfMemory, "cudaMallocHost failed on device 0", [] { work(); });
    expect_nothing_held();
  }
}

TEST_F(CudaEngineTest, NamesTheCallTheDeviceAndTheError) {
  simt::fail_call("cudaMemcpyAsync", 1, cudaErrorInvalidValue);
  const auto failure = failure_of([] { work(); });
  ASSERT_TRUE(failure.has_value());
  EXPECT_THAT(failure->what(), AllOf(StartsWith("cudaMemcpyAsync failed on device 0 ("), HasSubstr("A100"),
                                     HasSubstr("): cudaErrorInvalidValue (")));
}

#if defined(LEXISCOPE_ACCESSES_REPORTED)
// A kernel that reads past its memory: an error of the device that stays, whoever asks.
TEST_F(CudaEngineTest, SaysOnEveryCallThatTheDeviceIsLost) {
  const auto engine = make_emulated_engine();
  const Tensor x = engine->allocate(DType::f32, {4, 8}), gain = engine->allocate(DType::f32, {8}),
               y = engine->allocate(DType::f32, {4, 8});
  engine->layer_norm({.x = {x.matrix<float>().data, 4, 8, 800}, .gain = gain.vector<float>(), .y = y.matrix<float>()});
  expect_failure(ErrorCode::kDevice, "cudaErrorIllegalAddress", [&] { on_host(*engine, x.matrix<float>()); });
  const std::string lost = "is unusable since an earlier error: cudaErrorIllegalAddress";
  expect_failure(ErrorCode::kDevice, lost, [&] { engine->allocate(DType::f32, {1}); });
  expect_failure(ErrorCode::kDevice, lost, [&] { on_host(*engine, x.matrix<float>()); });
  expect_failure(ErrorCode::kDevice, lost, [&] {
    engine->layer_norm({.x = x.matrix<float>(), .gain = gain.vector<float>(), .y = x.matrix<float>()});
  });
  const std::vector<float> weight(1, 1.0f);
  expect_failure(ErrorCode::kDevice, lost, [&] { engine->pack({weight.data(), 1, 1, 1}); });
}
#endif

TEST_F(CudaEngineTest, GivesTheSameBitsInAnyOrderOfThreadsAndBlocks) {
  const std::vector<float> want = work();
  const simt::ScheduleOptions before = simt::schedule();
  for (const auto& [threads, blocks] : {std::pair{simt::ThreadSchedule::kReverse, simt::BlockOrder::kReverse},
                                        {simt::ThreadSchedule::kRandom, simt::BlockOrder::kRandom},
                                        {simt::ThreadSchedule::kGreedyWarps, simt::BlockOrder::kForward}}) {
    simt::set_schedule({.threads = threads, .blocks = blocks, .seed = 7});
    EXPECT_EQ(work(), want);
  }
  simt::set_schedule(before);
}

TEST(CudaArchitectures, ServeTheirOwnMajorVersionAndPtxWhatIsNewer) {
  const int built[] = {80, 90};
  for (const auto& [major, minor, expected] :
       {std::tuple{7, 5, false}, {8, 0, true}, {8, 9, true}, {9, 0, true}, {10, 0, true}, {12, 1, true}})
    EXPECT_EQ(cuda::has_code_for(major, minor, built), expected) << major << "." << minor;
  const int ada[] = {89};
  EXPECT_FALSE(cuda::has_code_for(8, 6, ada));
  EXPECT_FALSE(cuda::has_code_for(9, 0, {}));
}

TEST_F(CudaEngineTest, SaysWhyThereIsNoDevice) {
  EXPECT_EQ(cuda::find_device().index, 0);
  EXPECT_EQ(cuda::find_device().reason, "");
  const int newest[] = {120};
  EXPECT_THAT(cuda::find_device(newest).reason,
              AllOf(StartsWith("no code for Emulated A100"),
                    HasSubstr(" of compute capability 8.0: the kernels were built for architectures 120")));
  simt::fail_call("cudaGetDeviceCount", 1, cudaErrorUnknown);
  EXPECT_THAT(cuda::find_device().reason, StartsWith("cudaGetDeviceCount failed: cudaErrorUnknown ("));
  simt::fail_call("cudaGetDeviceProperties", 1, cudaErrorUnknown);
  EXPECT_THAT(cuda::find_device().reason, StartsWith("cudaGetDeviceProperties failed on device 0: cudaErrorUnknown ("));
  simt::set_device_count(0);
  EXPECT_EQ(cuda::find_device().reason, "no CUDA device");
  simt::set_driver_version(12040);
  EXPECT_THAT(cuda::find_device().reason, StartsWith("the NVIDIA driver is too old: it knows CUDA 12.4, version 1"));
  simt::set_driver_version(0);
  EXPECT_EQ(cuda::find_device().reason, "no NVIDIA driver");
  EXPECT_EQ(cuda::find_device().index, -1);
}

TEST_F(CudaEngineTest, IsMadeThroughThePluginsEntry) {
  const CudaPlugin& plugin = *lexiscope_cuda_plugin();
  EXPECT_EQ(plugin.unavailable(), "");
  const auto engine = plugin.make(3, ProductLibrary::cublas_lt);
  EXPECT_EQ(engine->name(), "cuda");
  EXPECT_EQ(engine->threads(), 3);
  EXPECT_THAT(engine->description(), HasSubstr("products by cuBLASLt"));
  simt::set_driver_version(0);
  EXPECT_EQ(plugin.unavailable(), "no NVIDIA driver");
  expect_failure(ErrorCode::kDevice, "the cuda engine is not available here: no NVIDIA driver",
                 [&] { plugin.make(1, ProductLibrary::own); });
}

}  // namespace
}  // namespace lexiscope::testing
