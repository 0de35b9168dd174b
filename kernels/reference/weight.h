// A weight matrix of the reference engine, and the products that every operation on weights is made of.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "lexiscope/tensor.h"

namespace lexiscope::reference {

/// The nearest bf16, ties to even, by way of f32.
inline double round_to_bf16(double x) {
  const auto narrow = static_cast<float>(x);
  const auto bits = std::bit_cast<std::uint32_t>(narrow);
  if (narrow != narrow) return narrow;
  return std::bit_cast<float>((bits + 0x7FFFu + ((bits >> 16) & 1u)) & 0xFFFF0000u);
}

/// [out, in] in double. In bf16 its values are rounded already, and what is multiplied with them is rounded here.
struct Weight {
  MatrixView<const double> values;
  bool in_bf16 = false;

  std::size_t out() const { return values.rows; }

  /// bias[row] + sum_k x[k] values[row][k]; no bias where it is empty.
  template <typename Element>
  double product(const Element* x, std::size_t row, const VectorView<const float>& bias) const {
    double sum = bias.empty() ? 0.0 : bias[row];
    for (std::size_t k = 0; k < values.columns; ++k)
      sum += (in_bf16 ? round_to_bf16(x[k]) : static_cast<double>(x[k])) * values.row(row)[k];
    return sum;
  }
};

}  // namespace lexiscope::reference
