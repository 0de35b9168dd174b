// The transforms behind the stand-in for cuFFT: real to complex and back, of one to three axes.
#pragma once

#include <complex>
#include <cstddef>
#include <vector>

namespace lexiscope::simt {

/// An array of one batch after another: `lengths` of the transform from the outermost axis to the innermost, whose
/// elements lie `stride` apart; rows have room for `embed` elements along each axis.
struct FftLayout {
  std::vector<std::size_t> embed;
  std::size_t stride = 1;
  std::size_t distance = 0;

  std::size_t offset(std::size_t batch, const std::vector<std::size_t>& index) const {
    std::size_t at = 0;
    for (std::size_t axis = 0; axis < index.size(); ++axis) at = at * (axis ? embed[axis] : 1) + index[axis];
    return batch * distance + at * stride;
  }
};

struct FftShape {
  std::vector<std::size_t> lengths;
  FftLayout input, output;
  std::size_t batches = 1;
};

/// Unnormalised, the forward one with exp(-2 pi i ...). Each axis in double, rounded to f32 behind it. Complex arrays
/// hold the frequencies 0 to lengths / 2 of the innermost axis. Input and output may be the same memory.
void transform_real(const FftShape& shape, const float* input, std::complex<float>* output);
void transform_to_real(const FftShape& shape, const std::complex<float>* input, float* output);

}  // namespace lexiscope::simt
