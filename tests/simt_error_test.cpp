// Errors of the stand-in for the CUDA runtime: those of a device, and those that a test asks for.
#include <cmath>
#include <future>

#include "tests/support/simt_runtime.h"

namespace lexiscope::simt {
namespace {

using ::testing::HasSubstr;

using SimtErrorTest = SimtRuntimeTest;

// Three mistakes that the emulator finds in every build: atomics are its own functions.
__global__ void add_beyond_kernel(int* values, std::size_t count) { atomicAdd(values + count, 1); }

__global__ void add_misaligned_kernel(unsigned char* bytes) { atomicAdd(reinterpret_cast<int*>(bytes + 1), 1); }

__global__ void exit_before_barrier_kernel() {
  if (threadIdx.x == 0) return;
  __syncthreads();
}

TEST_F(SimtErrorTest, RemembersTheLastErrorOfEachThreadUntilItIsAskedFor) {
  EXPECT_EQ(cudaSetDevice(9), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaSetDevice(0), cudaSuccess);
  EXPECT_EQ(std::async(std::launch::async, cudaGetLastError).get(), cudaSuccess);
  EXPECT_EQ(cudaPeekAtLastError(), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

TEST_F(SimtErrorTest, NamesErrorsAsCudaDoes) {
  EXPECT_STREQ(cudaGetErrorName(cudaErrorMemoryAllocation), "cudaErrorMemoryAllocation");
  EXPECT_STREQ(cudaGetErrorString(cudaErrorMemoryAllocation), "out of memory");
  EXPECT_STREQ(cudaGetErrorString(cudaErrorNoDevice), "no CUDA-capable device is detected");
  EXPECT_STREQ(cudaGetErrorName(static_cast<cudaError_t>(1023)), "unrecognized error code");
}

TEST_F(SimtErrorTest, ReturnsTheErrorOfAFaultFromEveryLaterCall) {
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

TEST_F(SimtErrorTest, TurnsFaultsOfKernelsIntoTheErrorsOfADevice) {
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
TEST_F(SimtErrorTest, TellsAddressSanitizerWhereAllocationsEnd) {
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

TEST_F(SimtErrorTest, DoesNoWorkAfterAFaultButReleasesEverything) {
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

TEST_F(SimtErrorTest, FailsTheCallThatATestNames) {
  fail_call("cudaMalloc", 2, cudaErrorMemoryAllocation);
  void* pointer = nullptr;
  EXPECT_EQ(cudaMalloc(&pointer, 4), cudaSuccess);
  EXPECT_EQ(cudaSetDevice(0), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&pointer, 4), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaMalloc(&pointer, 4), cudaSuccess);
  EXPECT_EQ(counters().device_allocations, 2u);
}

TEST_F(SimtErrorTest, FailsAnyCallInTurn) {
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
