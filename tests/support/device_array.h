// Arrays in device memory, through the CUDA runtime, for tests of kernels by themselves.
#pragma once

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <vector>

namespace lexiscope::testing {

template <typename Element>
class DeviceArray {
 public:
  explicit DeviceArray(std::size_t size) : size_(size) {
    EXPECT_EQ(cudaMalloc(reinterpret_cast<void**>(&data_), size * sizeof(Element)), cudaSuccess);
  }
  explicit DeviceArray(const std::vector<Element>& values) : DeviceArray(values.size()) {
    EXPECT_EQ(cudaMemcpy(data_, values.data(), size_ * sizeof(Element), cudaMemcpyHostToDevice), cudaSuccess);
  }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() { cudaFree(data_); }

  Element* data() const { return data_; }
  /// Once everything enqueued has run.
  std::vector<Element> values() const {
    std::vector<Element> copy(size_);
    EXPECT_EQ(cudaMemcpy(copy.data(), data_, size_ * sizeof(Element), cudaMemcpyDeviceToHost), cudaSuccess);
    return copy;
  }

 private:
  Element* data_ = nullptr;
  std::size_t size_;
};

}  // namespace lexiscope::testing
