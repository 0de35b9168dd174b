// Weights as the cuda engine holds them, for tests of its kernels by themselves.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "kernels/cuda/packed_weights.h"
#include "tests/support/bf16.h"
#include "tests/support/device_array.h"

namespace lexiscope::testing {

/// values [rows, columns] in the engine's layout.
class DeviceWeights {
 public:
  DeviceWeights(std::size_t rows, std::size_t columns, DType dtype, const std::vector<float>& values)
      : bytes_(packed(rows, columns, dtype, values)),
        view_{.data = bytes_.data(),
              .dtype = dtype,
              .rows = rows,
              .columns = columns,
              .stride = cuda::packed_stride(columns, dtype)} {}
  const cuda::PackedWeights& view() const { return view_; }

 private:
  static std::vector<std::uint8_t> packed(std::size_t rows, std::size_t columns, DType dtype,
                                          const std::vector<float>& values) {
    const std::size_t stride = cuda::packed_stride(columns, dtype), element = size_of(dtype);
    std::vector<std::uint8_t> bytes(rows * stride * element);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::uint16_t narrow = to_bf16(values[i]);
      const void* from = dtype == DType::bf16 ? static_cast<const void*>(&narrow) : &values[i];
      std::memcpy(&bytes[(i / columns * stride + i % columns) * element], from, element);
    }
    return bytes;
  }

  DeviceArray<std::uint8_t> bytes_;
  cuda::PackedWeights view_;
};

}  // namespace lexiscope::testing
