// Queries, keys and values in the emulated device's memory, for tests of attention's kernels by themselves.
#pragma once

#include <cuda_fp16.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include "lexiscope/tensor.h"
#include "simt/runtime.h"
#include "tests/support/bf16.h"
#include "tests/support/run_kernel.h"

namespace lexiscope::testing {

/// [heads, tokens, d] of one element type, `gap` elements between rows; the values are those that the type holds.
class DeviceHeads {
 public:
  DeviceHeads(const std::vector<float>& values, std::size_t heads, std::size_t tokens, std::size_t d, DType dtype,
              std::size_t gap = 0)
      : bytes_(heads * tokens * (d + gap) * size_of(dtype)),
        view_{.data = bytes_.data(),
              .dtype = dtype,
              .rank = 3,
              .shape = {heads, tokens, d},
              .strides = {tokens * (d + gap), d + gap, 1}} {
    for (std::size_t at = 0; at < values.size(); ++at) {
      std::uint8_t* to = bytes_.data() + (at / d * (d + gap) + at % d) * size_of(dtype);
      const std::uint16_t half =
          dtype == DType::bf16 ? to_bf16(values[at]) : __half_as_ushort(__float2half(values[at]));
      if (dtype == DType::f32)
        std::memcpy(to, &values[at], sizeof(float));
      else
        std::memcpy(to, &half, sizeof half);
    }
  }
  const ConstTensorView& view() const { return view_; }

 private:
  test::DeviceVector<std::uint8_t> bytes_;
  ConstTensorView view_;
};

/// Whole numbers from -2 to 2: sums of their products are exact in every type.
inline std::vector<float> small_integers(std::size_t count, unsigned seed) {
  std::vector<float> values(count);
  for (float& value : values) {
    seed = seed * 1664525u + 1013904223u;
    value = static_cast<float>(seed >> 16) / 13107.2f;  // 0 to 5
    value = static_cast<float>(static_cast<int>(value)) - 2;
  }
  return values;
}

inline void synchronize() { ASSERT_EQ(cudaStreamSynchronize(nullptr), cudaSuccess) << simt::last_fault(); }

}  // namespace lexiscope::testing
