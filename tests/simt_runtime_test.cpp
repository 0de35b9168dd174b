// The stand-in for the CUDA runtime: every call as CUDA documents it, and the mistakes that a real device hides.
// Kernels here touch memory as ordinary code; what the emulator finds wrong inside kernels has tests of its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "simt/cuda.h"
#include "simt/kernel.h"
#include "simt/runtime.h"
#include "simt/runtime_errors.h"
#include "simt/runtime_state.h"

namespace lexiscope::simt {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::size_t kCount = 257;
constexpr std::size_t kBytes = kCount * sizeof(float);

class SimtRuntimeTest : public ::testing::Test {
 protected:
  SimtRuntimeTest() { reset(); }
  ~SimtRuntimeTest() override { reset(); }

  static float* device_floats(std::size_t count = kCount) {
    float* pointer = nullptr;
    EXPECT_EQ(cudaMalloc(&pointer, count * sizeof(float)), cudaSuccess);
    return pointer;
  }

  static float* pinned_floats(std::size_t count = kCount) {
    float* pointer = nullptr;
    EXPECT_EQ(cudaMallocHost(&pointer, count * sizeof(float)), cudaSuccess);
    return pointer;
  }

  static cudaStream_t stream(unsigned flags = cudaStreamNonBlocking) {
    cudaStream_t made = nullptr;
    EXPECT_EQ(cudaStreamCreateWithFlags(&made, flags), cudaSuccess);
    return made;
  }

  static cudaEvent_t event(unsigned flags = cudaEventDisableTiming) {
    cudaEvent_t made = nullptr;
    EXPECT_EQ(cudaEventCreateWithFlags(&made, flags), cudaSuccess);
    return made;
  }

  static std::vector<float> read(const float* device, std::size_t count = kCount) {
    std::vector<float> values(count);
    EXPECT_EQ(cudaMemcpy(values.data(), device, count * sizeof(float), cudaMemcpyDeviceToHost), cudaSuccess);
    return values;
  }

  static void write(float* device, const std::vector<float>& values) {
    EXPECT_EQ(cudaMemcpy(device, values.data(), values.size() * sizeof(float), cudaMemcpyHostToDevice), cudaSuccess);
  }

  // The sticky error that a fault leaves behind, from an operation of the runtime alone.
  static void cause_a_fault() {
    float* const memory = device_floats();
    const cudaStream_t s = stream();
    EXPECT_EQ(cudaMemsetAsync(memory, 0, kBytes, s), cudaSuccess);
    runtime().memory.free(memory);  // as cudaFree would, did it not wait
    EXPECT_EQ(cudaStreamSynchronize(s), cudaErrorIllegalAddress);
  }
};

// One thread adds `value` to every element.
__global__ void add_kernel(float* values, std::size_t count, float value) {
  for (std::size_t i = 0; i < count; ++i) values[i] += value;
}

__global__ void do_nothing_kernel() {}

// Three mistakes that the emulator finds in every build: atomics are its own functions.
__global__ void add_beyond_kernel(int* values, std::size_t count) { atomicAdd(values + count, 1); }

__global__ void add_misaligned_kernel(unsigned char* bytes) { atomicAdd(reinterpret_cast<int*>(bytes + 1), 1); }

__global__ void exit_before_barrier_kernel() {
  if (threadIdx.x == 0) return;
  __syncthreads();
}

template <typename... Parameters, typename... Arguments>
cudaError_t launch_block(const char* name, void (*kernel)(Parameters...), unsigned threads, cudaStream_t stream,
                         Arguments... arguments) {
  register_kernel(name, kernel);
  const cudaLaunchConfig_t config{1, threads, 0, stream, nullptr, 0};
  return cudaLaunchKernelEx(&config, kernel, arguments...);
}

cudaError_t launch_add(float* values, std::size_t count, float value, cudaStream_t stream) {
  return launch_block("add_kernel", add_kernel, 1, stream, values, count, value);
}

cudaError_t launch_nothing(dim3 grid, dim3 block, std::size_t shared_bytes = 0) {
  register_kernel("do_nothing_kernel", do_nothing_kernel);
  return cudaLaunchKernel(reinterpret_cast<const void*>(do_nothing_kernel), grid, block, nullptr, shared_bytes,
                          nullptr);
}

// --- The device ---

TEST_F(SimtRuntimeTest, ShowsOneDeviceWithTheFiguresOfItsArchitecture) {
  struct Want {
    Architecture architecture;
    int major, minor, multiprocessors;
    std::size_t shared_optin;
  };
  for (const Want& want :
       {Want{Architecture::kSm80, 8, 0, 108, 163 * 1024}, Want{Architecture::kSm86, 8, 6, 82, 99 * 1024},
        Want{Architecture::kSm89, 8, 9, 128, 99 * 1024}, Want{Architecture::kSm90, 9, 0, 132, 227 * 1024},
        Want{Architecture::kSm100, 10, 0, 148, 227 * 1024}, Want{Architecture::kSm120, 12, 0, 170, 99 * 1024}}) {
    set_device(want.architecture, 1 << 20);
    cudaDeviceProp properties;
    ASSERT_EQ(cudaGetDeviceProperties(&properties, 0), cudaSuccess);
    EXPECT_EQ(properties.major, want.major);
    EXPECT_EQ(properties.minor, want.minor);
    EXPECT_EQ(properties.multiProcessorCount, want.multiprocessors);
    EXPECT_EQ(properties.sharedMemPerBlockOptin, want.shared_optin);
    EXPECT_EQ(properties.sharedMemPerBlock, 48u * 1024);
    EXPECT_EQ(properties.totalGlobalMem, 1u << 20);
    int value = 0;
    EXPECT_EQ(cudaDeviceGetAttribute(&value, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0), cudaSuccess);
    EXPECT_EQ(static_cast<std::size_t>(value), want.shared_optin);
    EXPECT_EQ(cudaDeviceGetAttribute(&value, cudaDevAttrComputeCapabilityMajor, 0), cudaSuccess);
    EXPECT_EQ(value, want.major);
  }
}

// Bytes a second as the data sheets have them: two transfers a clock over the whole bus.
TEST_F(SimtRuntimeTest, ShowsClocksThatGiveTheCardsBandwidths) {
  const auto bandwidth = [](Architecture architecture) {
    set_device(architecture);
    int clock = 0, bits = 0;
    EXPECT_EQ(cudaDeviceGetAttribute(&clock, cudaDevAttrMemoryClockRate, 0), cudaSuccess);
    EXPECT_EQ(cudaDeviceGetAttribute(&bits, cudaDevAttrGlobalMemoryBusWidth, 0), cudaSuccess);
    return std::lround(2.0 * clock * 1e3 * bits / 8 / 1e9);
  };
  EXPECT_EQ(bandwidth(Architecture::kSm80), 2039);
  EXPECT_EQ(bandwidth(Architecture::kSm86), 936);
  EXPECT_EQ(bandwidth(Architecture::kSm89), 1008);
  EXPECT_EQ(bandwidth(Architecture::kSm90), 3352);
  EXPECT_EQ(bandwidth(Architecture::kSm120), 1792);
}

TEST_F(SimtRuntimeTest, RefusesDevicesAndAttributesThatAreNotThere) {
  cudaDeviceProp properties;
  int value = -7;
  EXPECT_EQ(cudaGetDeviceProperties(&properties, 1), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaGetDeviceProperties(nullptr, 0), cudaErrorInvalidValue);
  EXPECT_EQ(cudaSetDevice(1), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaSetDevice(-1), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaDeviceGetAttribute(&value, cudaDevAttrWarpSize, 3), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaDeviceGetAttribute(&value, static_cast<cudaDeviceAttr>(255), 0), cudaErrorInvalidValue);
  EXPECT_EQ(value, -7);
  EXPECT_EQ(cudaSetDevice(0), cudaSuccess);
  EXPECT_EQ(cudaGetDevice(&value), cudaSuccess);
  EXPECT_EQ(value, 0);
}

TEST_F(SimtRuntimeTest, SaysWhyThereIsNoDeviceAndLeavesTheCountUnwritten) {
  int count = -7, version = -7;
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
  EXPECT_EQ(count, 1);

  count = -7;
  set_device_count(0);
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorNoDevice);
  EXPECT_EQ(count, -7);

  set_driver_version(0);
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorInsufficientDriver);
  EXPECT_EQ(count, -7);
  EXPECT_EQ(cudaDriverGetVersion(&version), cudaSuccess);
  EXPECT_EQ(version, 0);
  EXPECT_EQ(cudaRuntimeGetVersion(&version), cudaSuccess);
  EXPECT_EQ(version, CUDART_VERSION);

  set_driver_version(CUDART_VERSION - 1000);  // the major version before
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorInsufficientDriver);
  void* pointer = nullptr;
  EXPECT_EQ(cudaMalloc(&pointer, 4), cudaErrorInsufficientDriver);
}

// --- Memory ---

TEST_F(SimtRuntimeTest, FillsFreshMemoryWithNaN) {
  const float* const device = device_floats();
  EXPECT_THAT(read(device), Each(testing::IsNan()));
  const float* const pinned = pinned_floats();
  EXPECT_TRUE(std::isnan(pinned[0]) && std::isnan(pinned[kCount - 1]));
}

TEST_F(SimtRuntimeTest, AlignsAllocationsAsPromisedAndNoBetter) {
  for (int i = 0; i < 3; ++i) {
    const auto address = reinterpret_cast<std::uintptr_t>(device_floats(1));
    EXPECT_EQ(address % 256, 0u);
    EXPECT_NE(address % 512, 0u);
  }
}

TEST_F(SimtRuntimeTest, CountsWhatIsAllocatedAndFreed) {
  float* const first = device_floats(100);
  float* const second = device_floats(50);
  float* const pinned = pinned_floats();
  EXPECT_EQ(counters().device_allocations, 2u);
  EXPECT_EQ(counters().device_bytes, 600u);
  EXPECT_EQ(counters().pinned_allocations, 1u);
  EXPECT_EQ(cudaFree(first), cudaSuccess);
  EXPECT_EQ(cudaFree(second), cudaSuccess);
  EXPECT_EQ(cudaFreeHost(pinned), cudaSuccess);
  EXPECT_EQ(counters().device_allocations, 0u);
  EXPECT_EQ(counters().device_bytes, 0u);
  EXPECT_EQ(counters().pinned_allocations, 0u);
  EXPECT_EQ(counters().peak_device_bytes, 600u);
  EXPECT_EQ(counters().allocations, 2u);
}

TEST_F(SimtRuntimeTest, GivesNothingForNoBytesAndFreesNothing) {
  void* pointer = &pointer;
  EXPECT_EQ(cudaMalloc(&pointer, 0), cudaSuccess);
  EXPECT_EQ(pointer, nullptr);
  EXPECT_EQ(cudaFree(nullptr), cudaSuccess);
  EXPECT_EQ(cudaFreeHost(nullptr), cudaSuccess);
  EXPECT_EQ(cudaFreeAsync(nullptr, nullptr), cudaSuccess);
  EXPECT_EQ(cudaMalloc(static_cast<void**>(nullptr), 4), cudaErrorInvalidValue);
}

TEST_F(SimtRuntimeTest, RefusesToFreeWhatIsNoAllocation) {
  float* const device = device_floats();
  float* const pinned = pinned_floats();
  float host = 0;
  EXPECT_EQ(cudaFree(device + 1), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(&host), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(pinned), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFreeHost(device), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFreeHost(&host), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(device), cudaSuccess);
  EXPECT_EQ(cudaFree(device), cudaErrorInvalidValue);
}

TEST_F(SimtRuntimeTest, RunsOutOfMemoryAtItsLimit) {
  set_memory_limit(1000);
  std::size_t free_bytes = 0, total = 0;
  void *first = nullptr, *second = &first;
  EXPECT_EQ(cudaMalloc(&first, 600), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&second, 401), cudaErrorMemoryAllocation);
  EXPECT_EQ(second, nullptr);
  EXPECT_EQ(cudaMemGetInfo(&free_bytes, &total), cudaSuccess);
  EXPECT_EQ(free_bytes, 400u);
  EXPECT_EQ(total, 1000u);
  EXPECT_EQ(cudaMalloc(&second, 400), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&second, ~std::size_t{0}), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaMemGetInfo(nullptr, &total), cudaErrorInvalidValue);
}

TEST_F(SimtRuntimeTest, AllocatesAndFreesInTheOrderOfAStream) {
  const cudaStream_t s = stream();
  float* memory = nullptr;
  ASSERT_EQ(cudaMallocAsync(&memory, kBytes, s), cudaSuccess);
  ASSERT_EQ(cudaMemsetAsync(memory, 0, kBytes, s), cudaSuccess);
  ASSERT_EQ(launch_add(memory, kCount, 3, s), cudaSuccess);
  std::vector<float> values(kCount);
  ASSERT_EQ(cudaMemcpyAsync(values.data(), memory, kBytes, cudaMemcpyDeviceToHost, s), cudaSuccess);
  ASSERT_EQ(cudaFreeAsync(memory, s), cudaSuccess);
  EXPECT_EQ(cudaFreeAsync(memory, s), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemsetAsync(memory, 0, kBytes, s), cudaErrorInvalidValue);  // no longer the caller's
  EXPECT_EQ(counters().device_allocations, 1u);
  ASSERT_EQ(cudaStreamSynchronize(s), cudaSuccess);
  EXPECT_EQ(counters().device_allocations, 0u);
  EXPECT_THAT(values, Each(3.0f));
}

TEST_F(SimtRuntimeTest, FaultsWhereAnotherStreamUsesMemoryBeforeItIsAllocated) {
  const cudaStream_t allocating = stream();
  const cudaStream_t using_it = stream();
  float* memory = nullptr;
  ASSERT_EQ(cudaMallocAsync(&memory, kBytes, allocating), cudaSuccess);
  ASSERT_EQ(cudaMemsetAsync(memory, 0, kBytes, using_it), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(using_it), cudaErrorIllegalAddress);
  EXPECT_THAT(last_fault(), HasSubstr("cudaMemsetAsync"));
}

TEST_F(SimtRuntimeTest, WaitsForPendingFreesBeforeItRunsOutOfMemory) {
  set_memory_limit(kBytes);
  const cudaStream_t s = stream();
  float *first = nullptr, *second = nullptr;
  ASSERT_EQ(cudaMallocAsync(&first, kBytes, s), cudaSuccess);
  EXPECT_EQ(cudaMallocAsync(&second, 1, s), cudaErrorMemoryAllocation);
  ASSERT_EQ(cudaFreeAsync(first, s), cudaSuccess);
  EXPECT_EQ(cudaMallocAsync(&second, kBytes, s), cudaSuccess);
}

TEST_F(SimtRuntimeTest, KnowsWhereAPointerPoints) {
  float* const device = device_floats();
  float* const pinned = pinned_floats();
  float pageable = 0;
  cudaPointerAttributes attributes;
  ASSERT_EQ(cudaPointerGetAttributes(&attributes, device + kCount - 1), cudaSuccess);
  EXPECT_EQ(attributes.type, cudaMemoryTypeDevice);
  ASSERT_EQ(cudaPointerGetAttributes(&attributes, pinned + 1), cudaSuccess);
  EXPECT_EQ(attributes.type, cudaMemoryTypeHost);
  ASSERT_EQ(cudaPointerGetAttributes(&attributes, &pageable), cudaSuccess);
  EXPECT_EQ(attributes.type, cudaMemoryTypeUnregistered);
  EXPECT_EQ(cudaPointerGetAttributes(&attributes, nullptr), cudaErrorInvalidValue);
}

TEST_F(SimtRuntimeTest, PinsTheCallersMemoryOnceAtATime) {
  std::vector<float> memory(kCount);
  EXPECT_EQ(cudaHostRegister(memory.data(), kBytes, cudaHostRegisterDefault), cudaSuccess);
  EXPECT_EQ(cudaHostRegister(memory.data() + 3, 4, cudaHostRegisterDefault), cudaErrorHostMemoryAlreadyRegistered);
  cudaPointerAttributes attributes;
  ASSERT_EQ(cudaPointerGetAttributes(&attributes, memory.data() + 5), cudaSuccess);
  EXPECT_EQ(attributes.type, cudaMemoryTypeHost);
  EXPECT_EQ(cudaHostUnregister(memory.data()), cudaSuccess);
  EXPECT_EQ(cudaHostUnregister(memory.data()), cudaErrorHostMemoryNotRegistered);
  EXPECT_EQ(cudaHostRegister(nullptr, 4, cudaHostRegisterDefault), cudaErrorInvalidValue);
}

TEST_F(SimtRuntimeTest, CrashesWhereTheHostDereferencesDeviceMemory) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  float* const device = device_floats();
  EXPECT_DEATH(device[0] = 1, "");
  write(device, std::vector<float>(kCount, 2));  // after operations executed, too
  EXPECT_DEATH(device[0] = 1, "");
}

// --- Copies ---

TEST_F(SimtRuntimeTest, CopiesToTheDeviceWithinItAndBack) {
  float* const first = device_floats();
  float* const second = device_floats();
  std::vector<float> values(kCount);
  for (std::size_t i = 0; i < kCount; ++i) values[i] = static_cast<float>(i);
  write(first, values);
  ASSERT_EQ(cudaMemcpy(second, first, kBytes, cudaMemcpyDefault), cudaSuccess);
  EXPECT_EQ(read(second), values);
}

TEST_F(SimtRuntimeTest, CopiesRowsOfTwoDimensions) {
  constexpr std::size_t kRows = 3, kWidth = 2, kPitch = 5;
  float* const device = device_floats(kRows * kPitch);
  const std::vector<float> values{1, 2, 3, 4, 5, 6};
  ASSERT_EQ(cudaMemset(device, 0, kRows * kPitch * sizeof(float)), cudaSuccess);
  ASSERT_EQ(cudaMemcpy2D(device, kPitch * sizeof(float), values.data(), kWidth * sizeof(float), kWidth * sizeof(float),
                         kRows, cudaMemcpyHostToDevice),
            cudaSuccess);
  EXPECT_THAT(read(device, kRows * kPitch), ElementsAre(1, 2, 0, 0, 0, 3, 4, 0, 0, 0, 5, 6, 0, 0, 0));
  const cudaStream_t s = stream();
  std::vector<float> back(kRows * kWidth);
  ASSERT_EQ(cudaMemcpy2DAsync(back.data(), kWidth * sizeof(float), device, kPitch * sizeof(float),
                              kWidth * sizeof(float), kRows, cudaMemcpyDeviceToHost, s),
            cudaSuccess);
  EXPECT_EQ(back, values);
  EXPECT_EQ(cudaMemcpy2D(device, sizeof(float), values.data(), kWidth * sizeof(float), kWidth * sizeof(float), kRows,
                         cudaMemcpyHostToDevice),
            cudaErrorInvalidPitchValue);
}

TEST_F(SimtRuntimeTest, RefusesCopiesWhosePointersAreNotWhatTheirKindSays) {
  float* const device = device_floats();
  float* const pinned = pinned_floats();
  std::vector<float> host(kCount);
  const auto code = [](void* to, const void* from, cudaMemcpyKind kind, std::size_t bytes = kBytes) {
    return cudaMemcpyAsync(to, from, bytes, kind, nullptr);
  };
  EXPECT_EQ(code(host.data(), host.data(), cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(code(device, device, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(code(host.data(), pinned, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  EXPECT_EQ(code(pinned, device, cudaMemcpyDeviceToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(code(pinned, device, cudaMemcpyHostToHost), cudaErrorInvalidValue);
  EXPECT_EQ(code(nullptr, device, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  EXPECT_EQ(code(device, pinned, static_cast<cudaMemcpyKind>(7)), cudaErrorInvalidMemcpyDirection);
  EXPECT_EQ(code(device, host.data(), cudaMemcpyHostToDevice, kBytes + 1), cudaErrorInvalidValue);
  EXPECT_EQ(code(device + 1, host.data(), cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(code(pinned + 1, device, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemsetAsync(host.data(), 0, 4, nullptr), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemsetAsync(device, 0, kBytes + 1, nullptr), cudaErrorInvalidValue);
  EXPECT_EQ(code(nullptr, nullptr, cudaMemcpyDeviceToHost, 0), cudaSuccess);
  EXPECT_EQ(counters().pending, 0u);
}

// --- What a missing synchronisation shows ---

TEST_F(SimtRuntimeTest, LeavesPinnedMemoryAsItWasUntilTheHostWaits) {
  float* const device = device_floats();
  float* const pinned = pinned_floats();
  const cudaStream_t s = stream();
  ASSERT_EQ(cudaMemsetAsync(device, 0, kBytes, s), cudaSuccess);
  ASSERT_EQ(launch_add(device, kCount, 5, s), cudaSuccess);
  ASSERT_EQ(cudaMemcpyAsync(pinned, device, kBytes, cudaMemcpyDeviceToHost, s), cudaSuccess);
  EXPECT_TRUE(std::isnan(pinned[0]));  // a reader who forgot to wait
  EXPECT_EQ(counters().pending, 3u);
  ASSERT_EQ(cudaStreamSynchronize(s), cudaSuccess);
  EXPECT_EQ(pinned[0], 5);
  EXPECT_EQ(pinned[kCount - 1], 5);
  EXPECT_EQ(counters().pending, 0u);
}

TEST_F(SimtRuntimeTest, CopiesWhatPinnedMemoryHoldsWhenTheCopyExecutes) {
  float* const device = device_floats();
  float* const pinned = pinned_floats();
  const cudaStream_t s = stream();
  std::fill_n(pinned, kCount, 1.0f);
  ASSERT_EQ(cudaMemcpyAsync(device, pinned, kBytes, cudaMemcpyHostToDevice, s), cudaSuccess);
  std::fill_n(pinned, kCount, 2.0f);  // a writer who forgot to wait
  ASSERT_EQ(cudaStreamSynchronize(s), cudaSuccess);
  EXPECT_THAT(read(device), Each(2.0f));
}

TEST_F(SimtRuntimeTest, HasReadPageableMemoryWhenTheCallReturns) {
  float* const device = device_floats();
  const cudaStream_t s = stream();
  std::vector<float> values(kCount, 1.0f);
  ASSERT_EQ(cudaMemcpyAsync(device, values.data(), kBytes, cudaMemcpyHostToDevice, s), cudaSuccess);
  std::fill(values.begin(), values.end(), 2.0f);
  ASSERT_EQ(cudaStreamSynchronize(s), cudaSuccess);
  EXPECT_THAT(read(device), Each(1.0f));
}

TEST_F(SimtRuntimeTest, HasWrittenPageableMemoryWhenTheCallReturns) {
  float* const device = device_floats();
  const cudaStream_t s = stream();
  ASSERT_EQ(cudaMemsetAsync(device, 0, kBytes, s), cudaSuccess);
  std::vector<float> values(kCount, 1.0f);
  ASSERT_EQ(cudaMemcpyAsync(values.data(), device, kBytes, cudaMemcpyDeviceToHost, s), cudaSuccess);
  EXPECT_THAT(values, Each(0.0f));
}

TEST_F(SimtRuntimeTest, DoesNotWaitForCopiesWithinTheDeviceNorForFills) {
  float* const first = device_floats();
  float* const second = device_floats();
  ASSERT_EQ(cudaMemset(first, 0, kBytes), cudaSuccess);
  ASSERT_EQ(cudaMemcpy(second, first, kBytes, cudaMemcpyDeviceToDevice), cudaSuccess);
  EXPECT_EQ(counters().pending, 2u);
  EXPECT_EQ(counters().synchronizations, 0u);
}

TEST_F(SimtRuntimeTest, CountsTheTimesThatTheHostWaits) {
  const cudaStream_t s = stream();
  const cudaEvent_t e = event();
  float* const device = device_floats();
  std::vector<float> host(kCount);
  ASSERT_EQ(cudaMemcpyAsync(device, host.data(), kBytes, cudaMemcpyHostToDevice, s), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(e, s), cudaSuccess);
  EXPECT_EQ(cudaStreamQuery(s), cudaErrorNotReady);
  EXPECT_EQ(counters().synchronizations, 0u);
  EXPECT_EQ(cudaEventSynchronize(e), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(s), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_EQ(cudaMemcpyAsync(host.data(), device, kBytes, cudaMemcpyDeviceToHost, s), cudaSuccess);
  EXPECT_EQ(cudaFree(device), cudaSuccess);
  EXPECT_EQ(counters().synchronizations, 5u);
}

// --- Order ---

// `producer` writes 1, `consumer` copies; with an event between them, or without.
std::vector<float> produce_and_consume(bool with_event) {
  float *source = nullptr, *copied = nullptr;
  cudaStream_t producer = nullptr, consumer = nullptr;
  cudaEvent_t produced = nullptr;
  EXPECT_EQ(cudaMalloc(&source, kBytes), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&copied, kBytes), cudaSuccess);
  EXPECT_EQ(cudaStreamCreateWithFlags(&producer, cudaStreamNonBlocking), cudaSuccess);
  EXPECT_EQ(cudaStreamCreateWithFlags(&consumer, cudaStreamNonBlocking), cudaSuccess);
  EXPECT_EQ(cudaEventCreateWithFlags(&produced, cudaEventDisableTiming), cudaSuccess);
  EXPECT_EQ(cudaMemsetAsync(source, 0, kBytes, producer), cudaSuccess);
  EXPECT_EQ(launch_add(source, kCount, 1, producer), cudaSuccess);
  EXPECT_EQ(cudaEventRecord(produced, producer), cudaSuccess);
  if (with_event) {
    EXPECT_EQ(cudaStreamWaitEvent(consumer, produced), cudaSuccess);
  }
  EXPECT_EQ(cudaMemcpyAsync(copied, source, kBytes, cudaMemcpyDeviceToDevice, consumer), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);  // both streams: the order between them is the events' alone
  std::vector<float> values(kCount);
  EXPECT_EQ(cudaMemcpy(values.data(), copied, kBytes, cudaMemcpyDeviceToHost), cudaSuccess);
  return values;
}

TEST_F(SimtRuntimeTest, OrdersStreamsByEvents) { EXPECT_THAT(produce_and_consume(true), Each(1.0f)); }

TEST_F(SimtRuntimeTest, ShowsAMissingEventBetweenStreams) {
  EXPECT_THAT(produce_and_consume(false), Each(testing::IsNan()));
}

TEST_F(SimtRuntimeTest, ExecutesWhatAnEventComesAfterAndNothingElse) {
  float* const device = device_floats();
  float* const pinned = pinned_floats(2);
  const cudaStream_t s = stream();
  const cudaEvent_t e = event();
  ASSERT_EQ(cudaMemsetAsync(device, 0, kBytes, s), cudaSuccess);
  ASSERT_EQ(cudaMemcpyAsync(pinned, device, sizeof(float), cudaMemcpyDeviceToHost, s), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(e, s), cudaSuccess);
  ASSERT_EQ(cudaMemcpyAsync(pinned + 1, device, sizeof(float), cudaMemcpyDeviceToHost, s), cudaSuccess);
  ASSERT_EQ(cudaEventSynchronize(e), cudaSuccess);
  EXPECT_EQ(pinned[0], 0);
  EXPECT_TRUE(std::isnan(pinned[1]));
}

TEST_F(SimtRuntimeTest, WaitsForTheRecordThatWasTheLastWhenTheWaitWasEnqueued) {
  float* const device = device_floats(1);
  const cudaStream_t first = stream();
  const cudaStream_t second = stream();
  const cudaEvent_t e = event();
  ASSERT_EQ(cudaMemsetAsync(device, 0, sizeof(float), first), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(e, first), cudaSuccess);
  ASSERT_EQ(cudaStreamWaitEvent(second, e), cudaSuccess);
  ASSERT_EQ(launch_add(device, 1, 1, first), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(e, first), cudaSuccess);  // the wait above does not see this one
  float* const pinned = pinned_floats(1);
  ASSERT_EQ(cudaMemcpyAsync(pinned, device, sizeof(float), cudaMemcpyDeviceToHost, second), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(second), cudaSuccess);
  EXPECT_EQ(pinned[0], 0);
}

TEST_F(SimtRuntimeTest, OrdersTheDefaultStreamAndBlockingStreams) {
  float* const device = device_floats(1);
  const cudaStream_t blocking = stream(cudaStreamDefault);
  ASSERT_EQ(cudaMemsetAsync(device, 0, sizeof(float), blocking), cudaSuccess);
  ASSERT_EQ(launch_add(device, 1, 1, nullptr), cudaSuccess);
  ASSERT_EQ(launch_add(device, 1, 2, blocking), cudaSuccess);
  float* const pinned = pinned_floats(1);
  ASSERT_EQ(cudaMemcpyAsync(pinned, device, sizeof(float), cudaMemcpyDeviceToHost, cudaStreamLegacy), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(nullptr), cudaSuccess);
  EXPECT_EQ(pinned[0], 3);
}

TEST_F(SimtRuntimeTest, DoesNotOrderTheDefaultStreamAndOtherStreams) {
  float* const device = device_floats(1);
  float* const pinned = pinned_floats(1);
  ASSERT_EQ(cudaMemsetAsync(device, 0, sizeof(float), stream(cudaStreamNonBlocking)), cudaSuccess);
  ASSERT_EQ(cudaMemcpyAsync(pinned, device, sizeof(float), cudaMemcpyDeviceToHost, nullptr), cudaSuccess);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_TRUE(std::isnan(pinned[0]));
}

TEST_F(SimtRuntimeTest, ExecutesWhatADestroyedStreamHeld) {
  float* const device = device_floats(1);
  const cudaStream_t s = stream(cudaStreamDefault);
  ASSERT_EQ(cudaMemsetAsync(device, 0, sizeof(float), s), cudaSuccess);
  ASSERT_EQ(cudaStreamDestroy(s), cudaSuccess);
  EXPECT_THAT(read(device, 1), ElementsAre(0.0f));  // in the default stream, which comes after it
  EXPECT_EQ(counters().streams, 0u);
  EXPECT_EQ(cudaStreamSynchronize(s), cudaErrorInvalidResourceHandle);
}

TEST_F(SimtRuntimeTest, MakesProgressWhereTheHostPolls) {
  float* const device = device_floats();
  const cudaStream_t s = stream();
  const cudaEvent_t e = event();
  ASSERT_EQ(cudaMemsetAsync(device, 0, kBytes, s), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(e, s), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(e), cudaErrorNotReady);  // nobody had asked
  while (cudaEventQuery(e) == cudaErrorNotReady) {
  }
  EXPECT_EQ(cudaEventQuery(e), cudaSuccess);
  EXPECT_EQ(cudaStreamQuery(s), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(event()), cudaSuccess);  // never recorded
}

TEST_F(SimtRuntimeTest, RunsHostFunctionsInOrderWithoutBeingAsked) {
  float* const device = device_floats(1);
  float* const pinned = pinned_floats(1);
  const cudaStream_t s = stream();
  std::promise<cudaError_t> called;
  ASSERT_EQ(cudaMemsetAsync(device, 0, sizeof(float), s), cudaSuccess);
  ASSERT_EQ(cudaMemcpyAsync(pinned, device, sizeof(float), cudaMemcpyDeviceToHost, s), cudaSuccess);
  ASSERT_EQ(cudaLaunchHostFunc(
                s,
                [](void* data) {
                  int count = 0;
                  static_cast<std::promise<cudaError_t>*>(data)->set_value(cudaGetDeviceCount(&count));
                },
                &called),
            cudaSuccess);
  EXPECT_EQ(called.get_future().get(), cudaErrorNotPermitted);  // it may not call CUDA
  EXPECT_EQ(pinned[0], 0);
}

TEST_F(SimtRuntimeTest, ExecutesWhileTheHostGoesOnWhereTheScheduleIsEager) {
  set_stream_schedule(StreamSchedule::kEager);
  float* const device = device_floats();
  const cudaStream_t s = stream();
  ASSERT_EQ(cudaMemsetAsync(device, 0, kBytes, s), cudaSuccess);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(launch_add(device, kCount, 1, s), cudaSuccess);
  while (counters().pending > 0) {
  }
  EXPECT_EQ(counters().synchronizations, 0u);
  EXPECT_THAT(read(device), Each(100.0f));
}

TEST_F(SimtRuntimeTest, ServesSeveralThreadsAtOnce) {
  set_stream_schedule(StreamSchedule::kEager);
  std::atomic<int> right{0};
  const auto work = [&] {
    const cudaStream_t s = stream();
    float* const device = device_floats();
    for (int i = 0; i < 20; ++i) {
      EXPECT_EQ(cudaMemsetAsync(device, 0, kBytes, s), cudaSuccess);
      EXPECT_EQ(launch_add(device, kCount, static_cast<float>(i), s), cudaSuccess);
      std::vector<float> values(kCount);
      EXPECT_EQ(cudaMemcpyAsync(values.data(), device, kBytes, cudaMemcpyDeviceToHost, s), cudaSuccess);
      right += values == std::vector<float>(kCount, static_cast<float>(i));
    }
    EXPECT_EQ(cudaFree(device), cudaSuccess);
    EXPECT_EQ(cudaStreamDestroy(s), cudaSuccess);
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back(work);
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(right, 80);
  EXPECT_EQ(counters().device_allocations, 0u);
  EXPECT_EQ(counters().streams, 0u);
}

// --- Streams and events ---

TEST_F(SimtRuntimeTest, RefusesStreamsAndEventsThatAreNotThere) {
  const cudaStream_t s = stream();
  const cudaEvent_t e = event();
  ASSERT_EQ(cudaStreamDestroy(s), cudaSuccess);
  ASSERT_EQ(cudaEventDestroy(e), cudaSuccess);
  float milliseconds = 0;
  float* const device = device_floats();
  EXPECT_EQ(cudaStreamDestroy(s), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaStreamDestroy(nullptr), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaStreamQuery(s), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaStreamWaitEvent(s, e), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaEventRecord(e, nullptr), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaEventQuery(e), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaEventSynchronize(e), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaEventDestroy(e), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, e, e), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaMemsetAsync(device, 0, kBytes, s), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(launch_add(device, kCount, 1, s), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaMallocAsync(reinterpret_cast<void**>(&milliseconds), 4, s), cudaErrorInvalidResourceHandle);
}

TEST_F(SimtRuntimeTest, RefusesUnknownFlags) {
  cudaStream_t s = nullptr;
  cudaEvent_t e = nullptr;
  void* pointer = nullptr;
  EXPECT_EQ(cudaStreamCreateWithFlags(&s, 77), cudaErrorInvalidValue);
  EXPECT_EQ(cudaStreamCreate(nullptr), cudaErrorInvalidValue);
  EXPECT_EQ(cudaEventCreateWithFlags(&e, 77), cudaErrorInvalidValue);
  EXPECT_EQ(cudaEventCreate(nullptr), cudaErrorInvalidValue);
  EXPECT_EQ(cudaHostAlloc(&pointer, 4, 77), cudaErrorInvalidValue);
  EXPECT_EQ(cudaLaunchHostFunc(nullptr, nullptr, nullptr), cudaErrorInvalidValue);
  EXPECT_EQ(counters().streams + counters().events + counters().pinned_allocations, 0u);
}

TEST_F(SimtRuntimeTest, MeasuresTimeBetweenEventsThatHaveHappened) {
  const cudaStream_t s = stream();
  const cudaEvent_t start = event(cudaEventDefault);
  const cudaEvent_t end = event(cudaEventDefault);
  float milliseconds = -1;
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, end), cudaErrorInvalidResourceHandle);  // not recorded
  ASSERT_EQ(cudaEventRecord(start, s), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(end, s), cudaSuccess);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, end), cudaErrorNotReady);
  ASSERT_EQ(cudaStreamSynchronize(s), cudaSuccess);
  ASSERT_EQ(cudaEventElapsedTime(&milliseconds, start, end), cudaSuccess);
  EXPECT_GE(milliseconds, 0);
  const cudaEvent_t untimed = event(cudaEventDisableTiming);
  ASSERT_EQ(cudaEventRecord(untimed, s), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(s), cudaSuccess);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, untimed), cudaErrorInvalidResourceHandle);
}

// --- Kernels ---

TEST_F(SimtRuntimeTest, CopiesArgumentsWhenTheKernelIsEnqueued) {
  float* const device = device_floats();
  const cudaStream_t s = stream();
  ASSERT_EQ(cudaMemsetAsync(device, 0, kBytes, s), cudaSuccess);
  for (int i = 1; i <= 3; ++i) ASSERT_EQ(launch_add(device, kCount, static_cast<float>(i), s), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(s), cudaSuccess);
  EXPECT_THAT(read(device), Each(6.0f));
  EXPECT_EQ(counters().launches, 3u);
}

TEST_F(SimtRuntimeTest, RefusesShapesThatNoDeviceHas) {
  EXPECT_EQ(launch_nothing(1, 1024), cudaSuccess);
  EXPECT_EQ(launch_nothing(dim3(2, 2, 2), dim3(4, 4, 64)), cudaSuccess);
  EXPECT_EQ(launch_nothing(1, 1025), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch_nothing(1, dim3(32, 32, 2)), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch_nothing(1, dim3(1, 1, 65)), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch_nothing(1, 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch_nothing(0, 1), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch_nothing(dim3(1, 65536), 1), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch_nothing(dim3(1, 1, 65536), 1), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch_nothing(0x80000000u, 1), cudaErrorInvalidConfiguration);
  EXPECT_EQ(counters().launches, 2u);
}

TEST_F(SimtRuntimeTest, RefusesSharedMemoryThatTheKernelDidNotOptInTo) {
  const auto* const kernel = reinterpret_cast<const void*>(do_nothing_kernel);
  constexpr int kDefault = 48 * 1024, kMost = 163 * 1024;
  const auto opt_in = [&](int bytes) {
    return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  };
  EXPECT_EQ(launch_nothing(1, 32, kDefault), cudaSuccess);
  EXPECT_EQ(launch_nothing(1, 32, kDefault + 1), cudaErrorInvalidValue);
  EXPECT_EQ(opt_in(kMost + 1), cudaErrorInvalidValue);
  EXPECT_EQ(opt_in(-1), cudaErrorInvalidValue);
  EXPECT_EQ(opt_in(kMost), cudaSuccess);
  EXPECT_EQ(launch_nothing(1, 32, kMost), cudaSuccess);
  EXPECT_EQ(launch_nothing(1, 32, kMost + 1), cudaErrorInvalidValue);
  cudaFuncAttributes attributes;
  EXPECT_EQ(cudaFuncGetAttributes(&attributes, kernel), cudaSuccess);
  EXPECT_EQ(attributes.maxDynamicSharedSizeBytes, kMost);
  EXPECT_EQ(attributes.maxThreadsPerBlock, 1024);
  EXPECT_EQ(attributes.binaryVersion, 80);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
}

TEST_F(SimtRuntimeTest, RefusesFunctionsThatAreNoKernels) {
  const auto* const kernel = reinterpret_cast<const void*>(&kCount);
  int blocks = 0;
  cudaFuncAttributes attributes;
  cudaLaunchConfig_t config{1, 1, 0, nullptr, nullptr, 0};
  EXPECT_EQ(cudaLaunchKernelExC(&config, kernel, nullptr), cudaErrorInvalidDeviceFunction);
  EXPECT_EQ(cudaLaunchKernelExC(&config, nullptr, nullptr), cudaErrorInvalidDeviceFunction);
  EXPECT_EQ(cudaLaunchKernelExC(nullptr, kernel, nullptr), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFuncGetAttributes(&attributes, kernel), cudaErrorInvalidDeviceFunction);
  EXPECT_EQ(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, 32, 0), cudaErrorInvalidDeviceFunction);
  cudaLaunchAttribute cluster{};
  config.attrs = &cluster;
  config.numAttrs = 1;
  EXPECT_EQ(cudaLaunchKernelExC(&config, reinterpret_cast<const void*>(do_nothing_kernel), nullptr),
            cudaErrorNotSupported);
}

TEST_F(SimtRuntimeTest, CountsResidentBlocksByThreadsAndSharedMemory) {
  register_kernel("do_nothing_kernel", do_nothing_kernel);
  ASSERT_EQ(cudaFuncSetAttribute(reinterpret_cast<const void*>(do_nothing_kernel),
                                 cudaFuncAttributeMaxDynamicSharedMemorySize, 99 * 1024),
            cudaSuccess);
  const auto blocks = [](Architecture architecture, int threads, std::size_t shared_bytes) {
    set_device(architecture);
    int count = -1;
    const auto* const kernel = reinterpret_cast<const void*>(do_nothing_kernel);
    EXPECT_EQ(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&count, kernel, threads, shared_bytes), cudaSuccess);
    return count;
  };
  EXPECT_EQ(blocks(Architecture::kSm80, 256, 0), 8);            // 2048 threads
  EXPECT_EQ(blocks(Architecture::kSm86, 256, 0), 6);            // 1536 threads
  EXPECT_EQ(blocks(Architecture::kSm80, 32, 0), 32);            // blocks
  EXPECT_EQ(blocks(Architecture::kSm86, 33, 0), 16);            // blocks
  EXPECT_EQ(blocks(Architecture::kSm80, 128, 40 * 1024), 4);    // 164 KiB, each with 1 KiB of the driver's
  EXPECT_EQ(blocks(Architecture::kSm86, 128, 99 * 1024), 1);    // all of it
  EXPECT_EQ(blocks(Architecture::kSm80, 1024, 100 * 1024), 0);  // more than the kernel opted in to
  EXPECT_EQ(blocks(Architecture::kSm80, 1025, 0), 0);
}

// --- Errors ---

TEST_F(SimtRuntimeTest, RemembersTheLastErrorOfEachThreadUntilItIsAskedFor) {
  EXPECT_EQ(cudaSetDevice(9), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaSetDevice(0), cudaSuccess);
  EXPECT_EQ(std::async(std::launch::async, cudaGetLastError).get(), cudaSuccess);
  EXPECT_EQ(cudaPeekAtLastError(), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

TEST_F(SimtRuntimeTest, NamesErrorsAsCudaDoes) {
  EXPECT_STREQ(cudaGetErrorName(cudaErrorMemoryAllocation), "cudaErrorMemoryAllocation");
  EXPECT_STREQ(cudaGetErrorString(cudaErrorMemoryAllocation), "out of memory");
  EXPECT_STREQ(cudaGetErrorString(cudaErrorNoDevice), "no CUDA-capable device is detected");
  EXPECT_STREQ(cudaGetErrorName(static_cast<cudaError_t>(1023)), "unrecognized error code");
}

TEST_F(SimtRuntimeTest, ReturnsTheErrorOfAFaultFromEveryLaterCall) {
  cause_a_fault();
  EXPECT_THAT(last_fault(), HasSubstr("cudaMemsetAsync: device memory that is not allocated"));
  void* pointer = nullptr;
  int count = 0;
  EXPECT_EQ(cudaMalloc(&pointer, 4), cudaErrorIllegalAddress);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorIllegalAddress);
  EXPECT_EQ(cudaGetLastError(), cudaErrorIllegalAddress);
  EXPECT_EQ(cudaGetLastError(), cudaErrorIllegalAddress);  // it does not go away
}

TEST_F(SimtRuntimeTest, TurnsFaultsOfKernelsIntoTheErrorsOfADevice) {
  int* device = nullptr;
  const auto fault_of = [&](const auto& launch) {
    reset();
    EXPECT_EQ(cudaMalloc(&device, kCount * sizeof(int)), cudaSuccess);
    EXPECT_EQ(launch(stream()), cudaSuccess);
    return cudaDeviceSynchronize();
  };
  EXPECT_EQ(fault_of([&](cudaStream_t s) {
              return launch_block("add_beyond_kernel", add_beyond_kernel, 1, s, device, kCount);
            }),
            cudaErrorIllegalAddress);
  EXPECT_THAT(last_fault(), HasSubstr("add_beyond_kernel"));

  EXPECT_EQ(fault_of([&](cudaStream_t s) {
              EXPECT_EQ(cudaFree(device), cudaSuccess);
              return launch_block("add_beyond_kernel", add_beyond_kernel, 1, s, device, std::size_t{0});
            }),
            cudaErrorIllegalAddress);

  EXPECT_EQ(fault_of([&](cudaStream_t s) {
              return launch_block("add_misaligned_kernel", add_misaligned_kernel, 1, s,
                                  reinterpret_cast<unsigned char*>(device));
            }),
            cudaErrorMisalignedAddress);
  EXPECT_THAT(last_fault(), HasSubstr("add_misaligned_kernel"));

  EXPECT_EQ(fault_of([&](cudaStream_t s) {
              return launch_block("exit_before_barrier_kernel", exit_before_barrier_kernel, 2, s);
            }),
            cudaErrorLaunchFailure);
  EXPECT_THAT(last_fault(), HasSubstr("exit_before_barrier_kernel"));
}

#if defined(LEXISCOPE_WATCHED_BY_ASAN)
TEST_F(SimtRuntimeTest, TellsAddressSanitizerWhereAllocationsEnd) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  float* const device = device_floats();
  const auto add = [&](float* values, std::size_t count) {
    EXPECT_EQ(launch_add(values, count, 1, nullptr), cudaSuccess);
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  };
  add(device, kCount);
  EXPECT_DEATH(add(device, kCount + 1), "use-after-poison");
  EXPECT_DEATH(add(device - 1, 1), "use-after-poison");
}
#endif

TEST_F(SimtRuntimeTest, DoesNoWorkAfterAFaultButReleasesEverything) {
  const cudaStream_t s = stream();
  const cudaEvent_t e = event();
  float* const device = device_floats();
  float* const pinned = pinned_floats();
  ASSERT_EQ(cudaMemsetAsync(device, 0, kBytes, s), cudaSuccess);
  ASSERT_EQ(cudaMemcpyAsync(pinned, device, kBytes, cudaMemcpyDeviceToHost, s), cudaSuccess);
  bool called = false;
  cause_a_fault();
  EXPECT_EQ(cudaLaunchHostFunc(
                s, [](void* data) { *static_cast<bool*>(data) = true; }, &called),
            cudaErrorIllegalAddress);
  EXPECT_EQ(cudaStreamSynchronize(s), cudaErrorIllegalAddress);
  EXPECT_TRUE(std::isnan(pinned[0]));
  EXPECT_FALSE(called);
  EXPECT_EQ(cudaFree(device), cudaErrorIllegalAddress);
  EXPECT_EQ(cudaFreeHost(pinned), cudaErrorIllegalAddress);
  EXPECT_EQ(cudaEventDestroy(e), cudaErrorIllegalAddress);
  EXPECT_EQ(cudaStreamDestroy(s), cudaErrorIllegalAddress);
  EXPECT_EQ(counters().device_allocations, 0u);
  EXPECT_EQ(counters().pinned_allocations, 0u);
  EXPECT_EQ(counters().events, 0u);
  EXPECT_EQ(counters().pending, 0u);
}

// --- Failures on demand ---

TEST_F(SimtRuntimeTest, FailsTheCallThatATestNames) {
  fail_call("cudaMalloc", 2, cudaErrorMemoryAllocation);
  void* pointer = nullptr;
  EXPECT_EQ(cudaMalloc(&pointer, 4), cudaSuccess);
  EXPECT_EQ(cudaSetDevice(0), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&pointer, 4), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaMalloc(&pointer, 4), cudaSuccess);
  EXPECT_EQ(counters().device_allocations, 2u);
}

TEST_F(SimtRuntimeTest, FailsAnyCallInTurn) {
  const auto work = [] {
    float* memory = nullptr;
    cudaStream_t s = nullptr;
    int failed = 0;
    failed += cudaMalloc(&memory, kBytes) != cudaSuccess;
    failed += cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking) != cudaSuccess;
    failed += memory != nullptr && cudaMemsetAsync(memory, 0, kBytes, s) != cudaSuccess;
    failed += cudaStreamSynchronize(s) != cudaSuccess;
    failed += s != nullptr && cudaStreamDestroy(s) != cudaSuccess;
    failed += cudaFree(memory) != cudaSuccess;
    return failed;
  };
  const std::size_t before = counters().calls;
  EXPECT_EQ(work(), 0);
  const auto calls = static_cast<int>(counters().calls - before);
  EXPECT_EQ(calls, 6);
  for (int nth = 1; nth <= calls; ++nth) {
    clear_failures();
    fail_call(nth);
    EXPECT_EQ(work(), 1) << "call " << nth;
    EXPECT_EQ(counters().device_allocations + counters().streams, 0u) << "call " << nth;
  }
}

}  // namespace
}  // namespace lexiscope::simt
