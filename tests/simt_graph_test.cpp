// The stand-in for CUDA graphs: what a capture records and a launch repeats, and the calls that end a capture.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <thread>
#include <vector>

#include "simt/runtime.h"

namespace lexiscope::simt {
namespace {

class GraphTest : public ::testing::Test {
 protected:
  GraphTest() {
    reset();
    EXPECT_EQ(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), cudaSuccess);
    EXPECT_EQ(cudaMalloc(&memory_, kBytes), cudaSuccess);
  }
  ~GraphTest() override { reset(); }

  void begin(cudaStreamCaptureMode mode = cudaStreamCaptureModeThreadLocal) {
    ASSERT_EQ(cudaStreamBeginCapture(stream_, mode), cudaSuccess);
  }
  cudaError_t end() { return cudaStreamEndCapture(stream_, &graph_); }
  std::array<unsigned char, 4> bytes() const {
    std::array<unsigned char, 4> read{};
    EXPECT_EQ(cudaMemcpyAsync(read.data(), memory_, kBytes, cudaMemcpyDeviceToHost, stream_), cudaSuccess);
    return read;
  }

  static constexpr std::size_t kBytes = 4;
  cudaStream_t stream_ = nullptr;
  void* memory_ = nullptr;
  cudaGraph_t graph_ = nullptr;
  cudaGraphExec_t ready_ = nullptr;
};

TEST_F(GraphTest, RepeatsWhatWasCapturedAtEachLaunchAndNotBefore) {
  ASSERT_EQ(cudaMemsetAsync(memory_, 1, kBytes, stream_), cudaSuccess);
  begin();
  auto* const first = static_cast<unsigned char*>(memory_);
  EXPECT_EQ(cudaMemcpyAsync(first + 1, first, 1, cudaMemcpyDeviceToDevice, stream_), cudaSuccess);
  EXPECT_EQ(cudaMemsetAsync(first, 7, 1, stream_), cudaSuccess);
  cudaStreamCaptureStatus status{};
  EXPECT_EQ(cudaStreamIsCapturing(stream_, &status), cudaSuccess);
  EXPECT_EQ(status, cudaStreamCaptureStatusActive);
  ASSERT_EQ(end(), cudaSuccess);
  EXPECT_EQ(cudaStreamIsCapturing(stream_, &status), cudaSuccess);
  EXPECT_EQ(status, cudaStreamCaptureStatusNone);
  EXPECT_EQ(bytes(), (std::array<unsigned char, 4>{1, 1, 1, 1}));
  ASSERT_EQ(cudaGraphInstantiate(&ready_, graph_, 0), cudaSuccess);
  ASSERT_EQ(cudaGraphDestroy(graph_), cudaSuccess);
  EXPECT_EQ(counters().graphs, 1u);
  ASSERT_EQ(cudaGraphLaunch(ready_, stream_), cudaSuccess);
  EXPECT_EQ(bytes(), (std::array<unsigned char, 4>{7, 1, 1, 1}));
  ASSERT_EQ(cudaGraphLaunch(ready_, stream_), cudaSuccess);
  ASSERT_EQ(cudaGraphExecDestroy(ready_), cudaSuccess);  // what was launched still executes
  EXPECT_EQ(bytes(), (std::array<unsigned char, 4>{7, 7, 1, 1}));
  EXPECT_EQ(counters().graphs, 0u);
}

TEST_F(GraphTest, ForbidsCallsThatNoGraphCanHold) {
  void* other = nullptr;
  cudaEvent_t event = nullptr;
  ASSERT_EQ(cudaEventCreate(&event), cudaSuccess);
  unsigned char byte = 0;
  const std::vector<std::function<cudaError_t()>> calls = {
      [&] { return cudaStreamSynchronize(stream_); },
      [&] { return cudaStreamQuery(stream_); },
      [&] { return cudaDeviceSynchronize(); },
      [&] { return cudaEventRecord(event, stream_); },
      [&] { return cudaEventSynchronize(event); },
      [&] { return cudaEventQuery(event); },
      [&] { return cudaStreamWaitEvent(stream_, event, cudaEventWaitDefault); },
      [&] { return cudaMalloc(&other, 1); },
      [&] { return cudaMallocHost(&other, 1); },
      [&] { return cudaFree(memory_); },
      [&] { return cudaMemcpy(&byte, memory_, 1, cudaMemcpyDeviceToHost); },
      [&] { return cudaMemcpyAsync(&byte, memory_, 1, cudaMemcpyDeviceToHost, stream_); }};
  for (std::size_t k = 0; k < calls.size(); ++k) {
    begin();
    EXPECT_EQ(calls[k](), cudaErrorStreamCaptureUnsupported) << k;
    EXPECT_EQ(cudaMemsetAsync(memory_, 1, 1, stream_), cudaErrorStreamCaptureInvalidated) << k;
    EXPECT_EQ(end(), cudaErrorStreamCaptureInvalidated) << k;
    EXPECT_EQ(graph_, nullptr);
    cudaGetLastError();
    EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess) << k;  // the stream is as good as before
  }
  EXPECT_EQ(counters().graphs, 0u);
}

TEST_F(GraphTest, ConcernsItsOwnThreadOrAllOfThem) {
  void* other = nullptr;
  const auto allocate = [&] {
    cudaError_t result = cudaSuccess;
    std::thread([&] { result = cudaMalloc(&other, 1); }).join();
    return result;
  };
  begin(cudaStreamCaptureModeThreadLocal);
  EXPECT_EQ(allocate(), cudaSuccess);
  cudaError_t ended = cudaSuccess;
  std::thread([&] { ended = end(); }).join();
  EXPECT_EQ(ended, cudaErrorStreamCaptureWrongThread);
  EXPECT_EQ(end(), cudaSuccess);
  begin(cudaStreamCaptureModeGlobal);
  EXPECT_EQ(allocate(), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(end(), cudaErrorStreamCaptureInvalidated);
  begin(cudaStreamCaptureModeRelaxed);
  EXPECT_EQ(allocate(), cudaSuccess);
  EXPECT_EQ(end(), cudaSuccess);
}

TEST_F(GraphTest, KeepsTheLegacyStreamFromBlockingOnesThatCapture) {
  cudaStream_t blocking = nullptr;
  ASSERT_EQ(cudaStreamCreate(&blocking), cudaSuccess);
  ASSERT_EQ(cudaStreamBeginCapture(blocking, cudaStreamCaptureModeRelaxed), cudaSuccess);
  EXPECT_EQ(cudaMemsetAsync(memory_, 1, 1, nullptr), cudaErrorStreamCaptureImplicit);
  EXPECT_EQ(cudaStreamDestroy(blocking), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(cudaStreamEndCapture(blocking, &graph_), cudaErrorStreamCaptureInvalidated);
  begin();
  EXPECT_EQ(cudaMemsetAsync(memory_, 1, 1, nullptr), cudaSuccess);  // no such order with one that does not block
  EXPECT_EQ(end(), cudaSuccess);
}

TEST_F(GraphTest, RefusesWhatIsNone) {
  EXPECT_EQ(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeRelaxed), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(end(), cudaErrorIllegalState);
  begin();
  EXPECT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), cudaErrorIllegalState);
  EXPECT_EQ(end(), cudaSuccess);
  EXPECT_EQ(cudaGraphInstantiate(&ready_, graph_, 1), cudaErrorInvalidValue);
  EXPECT_EQ(cudaGraphDestroy(graph_), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph_), cudaErrorInvalidValue);
  EXPECT_EQ(cudaGraphInstantiate(&ready_, graph_, 0), cudaErrorInvalidValue);
  EXPECT_EQ(cudaGraphLaunch(ready_, stream_), cudaErrorInvalidValue);
  EXPECT_EQ(cudaGraphExecDestroy(ready_), cudaErrorInvalidValue);
}

}  // namespace
}  // namespace lexiscope::simt
