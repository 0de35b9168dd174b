// Memory of the stand-in for the CUDA runtime: allocations and copies as CUDA documents them, and what shows where the
// host does not wait.
#include <cmath>

#include "tests/support/simt_runtime.h"

namespace lexiscope::simt {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using SimtMemoryTest = SimtRuntimeTest;

TEST_F(SimtMemoryTest, FillsFreshMemoryWithNaN) {
  const float* const device = device_floats();
  EXPECT_THAT(read(device), Each(testing::IsNan()));
  const float* const pinned = pinned_floats();
  EXPECT_TRUE(std::isnan(pinned[0]) && std::isnan(pinned[kCount - 1]));
}

TEST_F(SimtMemoryTest, AlignsAllocationsAsPromisedAndNoBetter) {
  for (int i = 0; i < 3; ++i) {
    const auto address = reinterpret_cast<std::uintptr_t>(device_floats(1));
    EXPECT_EQ(address % 256, 0u);
    EXPECT_NE(address % 512, 0u);
  }
}

TEST_F(SimtMemoryTest, CountsWhatIsAllocatedAndFreed) {
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

TEST_F(SimtMemoryTest, GivesNothingForNoBytesAndFreesNothing) {
  void* pointer = &pointer;
  EXPECT_EQ(cudaMalloc(&pointer, 0), cudaSuccess);
  EXPECT_EQ(pointer, nullptr);
  EXPECT_EQ(cudaFree(nullptr), cudaSuccess);
  EXPECT_EQ(cudaFreeHost(nullptr), cudaSuccess);
  EXPECT_EQ(cudaFreeAsync(nullptr, nullptr), cudaSuccess);
  EXPECT_EQ(cudaMalloc(static_cast<void**>(nullptr), 4), cudaErrorInvalidValue);
}

TEST_F(SimtMemoryTest, RefusesToFreeWhatIsNoAllocation) {
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

TEST_F(SimtMemoryTest, RunsOutOfMemoryAtItsLimit) {
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

TEST_F(SimtMemoryTest, AllocatesAndFreesInTheOrderOfAStream) {
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

TEST_F(SimtMemoryTest, FaultsWhereAnotherStreamUsesMemoryBeforeItIsAllocated) {
  const cudaStream_t allocating = stream();
  const cudaStream_t using_it = stream();
  float* memory = nullptr;
  ASSERT_EQ(cudaMallocAsync(&memory, kBytes, allocating), cudaSuccess);
  ASSERT_EQ(cudaMemsetAsync(memory, 0, kBytes, using_it), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(using_it), cudaErrorIllegalAddress);
  EXPECT_THAT(last_fault(), HasSubstr("cudaMemsetAsync"));
}

TEST_F(SimtMemoryTest, WaitsForPendingFreesBeforeItRunsOutOfMemory) {
  set_memory_limit(kBytes);
  const cudaStream_t s = stream();
  float *first = nullptr, *second = nullptr;
  ASSERT_EQ(cudaMallocAsync(&first, kBytes, s), cudaSuccess);
  EXPECT_EQ(cudaMallocAsync(&second, 1, s), cudaErrorMemoryAllocation);
  ASSERT_EQ(cudaFreeAsync(first, s), cudaSuccess);
  EXPECT_EQ(cudaMallocAsync(&second, kBytes, s), cudaSuccess);
}

TEST_F(SimtMemoryTest, KnowsWhereAPointerPoints) {
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

TEST_F(SimtMemoryTest, PinsTheCallersMemoryOnceAtATime) {
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

TEST_F(SimtMemoryTest, CrashesWhereTheHostDereferencesDeviceMemory) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  float* const device = device_floats();
  EXPECT_DEATH(device[0] = 1, "");
  write(device, std::vector<float>(kCount, 2));  // after operations executed, too
  EXPECT_DEATH(device[0] = 1, "");
}

TEST_F(SimtMemoryTest, CopiesToTheDeviceWithinItAndBack) {
  float* const first = device_floats();
  float* const second = device_floats();
  std::vector<float> values(kCount);
  for (std::size_t i = 0; i < kCount; ++i) values[i] = static_cast<float>(i);
  write(first, values);
  ASSERT_EQ(cudaMemcpy(second, first, kBytes, cudaMemcpyDefault), cudaSuccess);
  EXPECT_EQ(read(second), values);
}

TEST_F(SimtMemoryTest, CopiesRowsOfTwoDimensions) {
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

TEST_F(SimtMemoryTest, RefusesCopiesWhosePointersAreNotWhatTheirKindSays) {
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

TEST_F(SimtMemoryTest, LeavesPinnedMemoryAsItWasUntilTheHostWaits) {
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

TEST_F(SimtMemoryTest, CopiesWhatPinnedMemoryHoldsWhenTheCopyExecutes) {
  float* const device = device_floats();
  float* const pinned = pinned_floats();
  const cudaStream_t s = stream();
  std::fill_n(pinned, kCount, 1.0f);
  ASSERT_EQ(cudaMemcpyAsync(device, pinned, kBytes, cudaMemcpyHostToDevice, s), cudaSuccess);
  std::fill_n(pinned, kCount, 2.0f);  // a writer who forgot to wait
  ASSERT_EQ(cudaStreamSynchronize(s), cudaSuccess);
  EXPECT_THAT(read(device), Each(2.0f));
}

TEST_F(SimtMemoryTest, HasReadPageableMemoryWhenTheCallReturns) {
  float* const device = device_floats();
  const cudaStream_t s = stream();
  std::vector<float> values(kCount, 1.0f);
  ASSERT_EQ(cudaMemcpyAsync(device, values.data(), kBytes, cudaMemcpyHostToDevice, s), cudaSuccess);
  std::fill(values.begin(), values.end(), 2.0f);
  ASSERT_EQ(cudaStreamSynchronize(s), cudaSuccess);
  EXPECT_THAT(read(device), Each(1.0f));
}

TEST_F(SimtMemoryTest, HasWrittenPageableMemoryWhenTheCallReturns) {
  float* const device = device_floats();
  const cudaStream_t s = stream();
  ASSERT_EQ(cudaMemsetAsync(device, 0, kBytes, s), cudaSuccess);
  std::vector<float> values(kCount, 1.0f);
  ASSERT_EQ(cudaMemcpyAsync(values.data(), device, kBytes, cudaMemcpyDeviceToHost, s), cudaSuccess);
  EXPECT_THAT(values, Each(0.0f));
}

TEST_F(SimtMemoryTest, DoesNotWaitForCopiesWithinTheDeviceNorForFills) {
  float* const first = device_floats();
  float* const second = device_floats();
  ASSERT_EQ(cudaMemset(first, 0, kBytes), cudaSuccess);
  ASSERT_EQ(cudaMemcpy(second, first, kBytes, cudaMemcpyDeviceToDevice), cudaSuccess);
  EXPECT_EQ(counters().pending, 2u);
  EXPECT_EQ(counters().synchronizations, 0u);
}

TEST_F(SimtMemoryTest, CountsTheTimesThatTheHostWaits) {
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

}  // namespace
}  // namespace lexiscope::simt
