// Streams and events of the stand-in for the CUDA runtime: the order that they give, and none beyond it.
#include <atomic>
#include <cmath>
#include <future>
#include <thread>

#include "tests/support/simt_runtime.h"

namespace lexiscope::simt {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

using SimtStreamTest = SimtRuntimeTest;

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

TEST_F(SimtStreamTest, OrdersStreamsByEvents) { EXPECT_THAT(produce_and_consume(true), Each(1.0f)); }

TEST_F(SimtStreamTest, ShowsAMissingEventBetweenStreams) {
  EXPECT_THAT(produce_and_consume(false), Each(testing::IsNan()));
}

TEST_F(SimtStreamTest, ExecutesWhatAnEventComesAfterAndNothingElse) {
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

TEST_F(SimtStreamTest, WaitsForTheRecordThatWasTheLastWhenTheWaitWasEnqueued) {
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

TEST_F(SimtStreamTest, OrdersTheDefaultStreamAndBlockingStreams) {
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

TEST_F(SimtStreamTest, DoesNotOrderTheDefaultStreamAndOtherStreams) {
  float* const device = device_floats(1);
  float* const pinned = pinned_floats(1);
  ASSERT_EQ(cudaMemsetAsync(device, 0, sizeof(float), stream(cudaStreamNonBlocking)), cudaSuccess);
  ASSERT_EQ(cudaMemcpyAsync(pinned, device, sizeof(float), cudaMemcpyDeviceToHost, nullptr), cudaSuccess);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_TRUE(std::isnan(pinned[0]));
}

TEST_F(SimtStreamTest, ExecutesWhatADestroyedStreamHeld) {
  float* const device = device_floats(1);
  const cudaStream_t s = stream(cudaStreamDefault);
  ASSERT_EQ(cudaMemsetAsync(device, 0, sizeof(float), s), cudaSuccess);
  ASSERT_EQ(cudaStreamDestroy(s), cudaSuccess);
  EXPECT_THAT(read(device, 1), ElementsAre(0.0f));  // in the default stream, which comes after it
  EXPECT_EQ(counters().streams, 0u);
  EXPECT_EQ(cudaStreamSynchronize(s), cudaErrorInvalidResourceHandle);
}

TEST_F(SimtStreamTest, MakesProgressWhereTheHostPolls) {
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

TEST_F(SimtStreamTest, RunsHostFunctionsInOrderWithoutBeingAsked) {
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

TEST_F(SimtStreamTest, ExecutesWhileTheHostGoesOnWhereTheScheduleIsEager) {
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

TEST_F(SimtStreamTest, ServesSeveralThreadsAtOnce) {
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

TEST_F(SimtStreamTest, RefusesStreamsAndEventsThatAreNotThere) {
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

TEST_F(SimtStreamTest, RefusesUnknownFlags) {
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

TEST_F(SimtStreamTest, MeasuresTimeBetweenEventsThatHaveHappened) {
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

}  // namespace
}  // namespace lexiscope::simt
