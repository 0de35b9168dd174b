// What tests of the stand-in for the CUDA runtime share: a fresh runtime, memory, streams, and a kernel that shows in
// its memory how often it ran.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "simt/cuda.h"
#include "simt/kernel.h"
#include "simt/runtime.h"
#include "simt/runtime_state.h"

namespace lexiscope::simt {

inline constexpr std::size_t kCount = 257;
inline constexpr std::size_t kBytes = kCount * sizeof(float);

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
inline __global__ void add_kernel(float* values, std::size_t count, float value) {
  for (std::size_t i = 0; i < count; ++i) values[i] += value;
}

template <typename... Parameters, typename... Arguments>
cudaError_t launch_block(const char* name, void (*kernel)(Parameters...), unsigned threads, cudaStream_t stream,
                         Arguments... arguments) {
  register_kernel(name, kernel);
  const cudaLaunchConfig_t config{1, threads, 0, stream, nullptr, 0};
  return cudaLaunchKernelEx(&config, kernel, arguments...);
}

inline cudaError_t launch_add(float* values, std::size_t count, float value, cudaStream_t stream) {
  return launch_block("add_kernel", add_kernel, 1, stream, values, count, value);
}

}  // namespace lexiscope::simt
