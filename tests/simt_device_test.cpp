// The device that the stand-in for the CUDA runtime shows, and what it launches on it.
#include "tests/support/simt_runtime.h"

namespace lexiscope::simt {
namespace {

using ::testing::Each;

using SimtDeviceTest = SimtRuntimeTest;

__global__ void do_nothing_kernel() {}

cudaError_t launch_nothing(dim3 grid, dim3 block, std::size_t shared_bytes = 0) {
  register_kernel("do_nothing_kernel", do_nothing_kernel);
  return cudaLaunchKernel(reinterpret_cast<const void*>(do_nothing_kernel), grid, block, nullptr, shared_bytes,
                          nullptr);
}

TEST_F(SimtDeviceTest, ShowsOneDeviceWithTheFiguresOfItsArchitecture) {
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
TEST_F(SimtDeviceTest, ShowsClocksThatGiveTheCardsBandwidths) {
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

TEST_F(SimtDeviceTest, RefusesDevicesAndAttributesThatAreNotThere) {
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

TEST_F(SimtDeviceTest, SaysWhyThereIsNoDeviceAndLeavesTheCountUnwritten) {
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

TEST_F(SimtDeviceTest, CopiesArgumentsWhenTheKernelIsEnqueued) {
  float* const device = device_floats();
  const cudaStream_t s = stream();
  ASSERT_EQ(cudaMemsetAsync(device, 0, kBytes, s), cudaSuccess);
  for (int i = 1; i <= 3; ++i) ASSERT_EQ(launch_add(device, kCount, static_cast<float>(i), s), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(s), cudaSuccess);
  EXPECT_THAT(read(device), Each(6.0f));
  EXPECT_EQ(counters().launches, 3u);
}

TEST_F(SimtDeviceTest, RefusesShapesThatNoDeviceHas) {
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

TEST_F(SimtDeviceTest, RefusesSharedMemoryThatTheKernelDidNotOptInTo) {
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

TEST_F(SimtDeviceTest, RefusesFunctionsThatAreNoKernels) {
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

TEST_F(SimtDeviceTest, CountsResidentBlocksByThreadsAndSharedMemory) {
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

}  // namespace
}  // namespace lexiscope::simt
