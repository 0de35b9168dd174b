// The stand-in for cuFFT against the formula, and what it refuses.
#include <cufft.h>
#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <numbers>
#include <random>
#include <vector>

#include "simt/runtime.h"

namespace lexiscope::simt {
namespace {

class CufftTest : public ::testing::Test {
 protected:
  CufftTest() {
    reset();
    EXPECT_EQ(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), cudaSuccess);
  }
  ~CufftTest() override {
    EXPECT_EQ(counters().fft_plans, 0u);
    reset();
  }

  template <typename Element>
  Element* on_device(const std::vector<Element>& values) {
    void* memory = nullptr;
    EXPECT_EQ(cudaMalloc(&memory, values.size() * sizeof(Element)), cudaSuccess);
    EXPECT_EQ(cudaMemcpy(memory, values.data(), values.size() * sizeof(Element), cudaMemcpyHostToDevice), cudaSuccess);
    return static_cast<Element*>(memory);
  }
  template <typename Element>
  std::vector<Element> on_host(const Element* memory, std::size_t count) {
    std::vector<Element> values(count);
    EXPECT_EQ(cudaMemcpyAsync(values.data(), memory, count * sizeof(Element), cudaMemcpyDeviceToHost, stream_),
              cudaSuccess);
    return values;
  }

  // A plan in place: rows of reals are padded to whole frequencies.
  cufftHandle plan(std::vector<int> lengths, cufftType type, int batches = 1) {
    std::vector<int> reals = lengths, frequencies = lengths;
    frequencies.back() = lengths.back() / 2 + 1;
    reals.back() = 2 * frequencies.back();
    int outer = 1;
    for (std::size_t axis = 0; axis + 1 < lengths.size(); ++axis) outer *= lengths[axis];
    auto &from = type == CUFFT_R2C ? reals : frequencies, &to = type == CUFFT_R2C ? frequencies : reals;
    cufftHandle handle = CUFFT_PLAN_NULL;
    std::size_t bytes = 0;
    EXPECT_EQ(cufftCreate(&handle), CUFFT_SUCCESS);
    EXPECT_EQ(cufftSetAutoAllocation(handle, 0), CUFFT_SUCCESS);
    EXPECT_EQ(cufftMakePlanMany(handle, static_cast<int>(lengths.size()), lengths.data(), from.data(), 1,
                                outer * from.back(), to.data(), 1, outer * to.back(), type, batches, &bytes),
              CUFFT_SUCCESS);
    EXPECT_EQ(cufftSetStream(handle, stream_), CUFFT_SUCCESS);
    void* area = nullptr;
    EXPECT_EQ(cudaMalloc(&area, bytes), cudaSuccess);
    EXPECT_EQ(cufftSetWorkArea(handle, area), CUFFT_SUCCESS);
    return handle;
  }

  cudaStream_t stream_ = nullptr;
};

std::vector<float> noise(std::size_t count) {
  std::mt19937 random(static_cast<unsigned>(count));
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

std::complex<double> turn(double share) { return std::polar(1.0, -2 * std::numbers::pi * share); }

// u = 2^-24: each of up to three axes rounds once, of a sum of N terms of magnitude 1 or so.
TEST_F(CufftTest, TransformsRowsPlanesAndBlocksAsTheFormulaSays) {
  for (const std::vector<int>& lengths :
       {std::vector{1}, {2}, {6}, {35}, {48}, {3, 4}, {8, 10}, {7, 11}, {2, 3, 4}, {4, 6, 10}}) {
    const std::size_t x = static_cast<std::size_t>(lengths.back()), frequencies = x / 2 + 1;
    const std::size_t y = lengths.size() > 1 ? static_cast<std::size_t>(lengths[lengths.size() - 2]) : 1;
    const std::size_t z = lengths.size() > 2 ? static_cast<std::size_t>(lengths[0]) : 1;
    const std::size_t rows = y * z, batches = 2, count = rows * x;
    const auto values = noise(batches * count);
    std::vector<float> padded(batches * rows * 2 * frequencies);
    for (std::size_t k = 0; k < values.size(); ++k) padded[k / x * 2 * frequencies + k % x] = values[k];
    float* const memory = on_device(padded);
    const cufftHandle forward = plan(lengths, CUFFT_R2C, 2), backward = plan(lengths, CUFFT_C2R, 2);
    ASSERT_EQ(cufftExecR2C(forward, memory, reinterpret_cast<cufftComplex*>(memory)), CUFFT_SUCCESS);
    const auto found = on_host(reinterpret_cast<std::complex<float>*>(memory), batches * rows * frequencies);
    const double bound = 4 * 0x1p-24 * 6 * static_cast<double>(count);
    for (std::size_t b = 0; b < batches; ++b)
      for (std::size_t f = 0; f < rows * frequencies; ++f) {
        const std::size_t fx = f % frequencies, fy = f / frequencies % y, fz = f / frequencies / y;
        std::complex<double> want = 0;
        for (std::size_t k = 0; k < count; ++k)
          want += double(values[b * count + k]) *
                  turn(double(fx * (k % x)) / double(x) + double(fy * (k / x % y)) / double(y) +
                       double(fz * (k / x / y)) / double(z));
        const auto got = found[b * rows * frequencies + f];
        EXPECT_LE(std::abs(std::complex<double>(got) - want), bound) << lengths.size() << " axes, frequency " << f;
      }
    ASSERT_EQ(cufftExecC2R(backward, reinterpret_cast<cufftComplex*>(memory), memory), CUFFT_SUCCESS);
    const auto restored = on_host(memory, padded.size());
    for (std::size_t k = 0; k < values.size(); ++k)
      EXPECT_NEAR(restored[k / x * 2 * frequencies + k % x] / double(count), values[k], bound);
    EXPECT_EQ(cufftDestroy(forward), CUFFT_SUCCESS);
    EXPECT_EQ(cufftDestroy(backward), CUFFT_SUCCESS);
  }
}

TEST_F(CufftTest, IsPartOfItsStreamAndOfAGraph) {
  float* const memory = on_device(std::vector<float>{1, 2, 3, 4, 0, 0});
  const cufftHandle forward = plan({4}, CUFFT_R2C);
  ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  EXPECT_EQ(cufftExecR2C(forward, memory, reinterpret_cast<cufftComplex*>(memory)), CUFFT_SUCCESS);
  cudaGraph_t graph = nullptr;
  ASSERT_EQ(cudaStreamEndCapture(stream_, &graph), cudaSuccess);
  EXPECT_EQ(on_host(memory, 1)[0], 1);
  cudaGraphExec_t ready = nullptr;
  ASSERT_EQ(cudaGraphInstantiate(&ready, graph, 0), cudaSuccess);
  ASSERT_EQ(cudaGraphLaunch(ready, stream_), cudaSuccess);
  EXPECT_EQ(on_host(memory, 1)[0], 10);
  EXPECT_EQ(cufftDestroy(forward), CUFFT_SUCCESS);
}

TEST_F(CufftTest, RefusesWhatCufftRefuses) {
  cufftHandle handle = CUFFT_PLAN_NULL;
  std::size_t bytes = 0;
  int lengths[] = {8}, zero[] = {0};
  EXPECT_EQ(cufftCreate(nullptr), CUFFT_INVALID_VALUE);
  EXPECT_EQ(cufftDestroy(99), CUFFT_INVALID_PLAN);
  ASSERT_EQ(cufftCreate(&handle), CUFFT_SUCCESS);
  const auto make = [&](int rank, int* n, cufftType type) {
    return cufftMakePlanMany(handle, rank, n, nullptr, 1, 0, nullptr, 1, 0, type, 1, &bytes);
  };
  EXPECT_EQ(make(1, lengths, CUFFT_R2C), CUFFT_NOT_IMPLEMENTED);  // a work area of its own
  EXPECT_EQ(cufftSetAutoAllocation(handle, 0), CUFFT_SUCCESS);
  EXPECT_EQ(make(4, lengths, CUFFT_R2C), CUFFT_INVALID_VALUE);
  EXPECT_EQ(make(1, zero, CUFFT_R2C), CUFFT_INVALID_SIZE);
  EXPECT_EQ(make(1, lengths, CUFFT_Z2Z), CUFFT_NOT_SUPPORTED);
  float* const memory = on_device(std::vector<float>(8));
  auto* const frequencies = on_device(std::vector<cufftComplex>(5));
  EXPECT_EQ(cufftExecR2C(handle, memory, frequencies), CUFFT_INVALID_PLAN);
  ASSERT_EQ(make(1, lengths, CUFFT_R2C), CUFFT_SUCCESS);
  EXPECT_EQ(make(1, lengths, CUFFT_R2C), CUFFT_INVALID_PLAN);
  EXPECT_EQ(cufftExecR2C(handle, memory, frequencies), CUFFT_NO_WORKSPACE);
  EXPECT_EQ(cufftSetWorkArea(handle, memory), CUFFT_INVALID_VALUE);  // 40 bytes are needed
  EXPECT_EQ(cufftSetWorkArea(handle, on_device(std::vector<char>(bytes))), CUFFT_SUCCESS);
  EXPECT_EQ(cufftExecC2R(handle, frequencies, memory), CUFFT_INVALID_PLAN);
  EXPECT_EQ(cufftExecR2C(handle, memory + 1, frequencies), CUFFT_INVALID_VALUE);
  EXPECT_EQ(cufftExecR2C(handle, memory, reinterpret_cast<cufftComplex*>(memory)), CUFFT_INVALID_VALUE);
  EXPECT_EQ(cufftExecR2C(handle, nullptr, frequencies), CUFFT_INVALID_VALUE);
  fail_call("cufftExecR2C", 1, CUFFT_EXEC_FAILED);
  EXPECT_EQ(cufftExecR2C(handle, memory, frequencies), CUFFT_EXEC_FAILED);
  EXPECT_EQ(cufftExecR2C(handle, memory, frequencies), CUFFT_SUCCESS);
  fail_call("cufftDestroy", 1, CUFFT_INTERNAL_ERROR);
  EXPECT_EQ(cufftDestroy(handle), CUFFT_INTERNAL_ERROR);  // it is gone nevertheless
  EXPECT_EQ(cufftDestroy(handle), CUFFT_INVALID_PLAN);
}

}  // namespace
}  // namespace lexiscope::simt
