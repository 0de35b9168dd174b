// Complex FFTs of f32, as many at once as a vector has lanes: element k of all transforms of a batch is one vector, so
// that no step shuffles lanes. Lengths are 16 times a product of 2, 3 and 5.
#pragma once

#include <array>
#include <cstddef>

namespace lexiscope::cpu {

/// What fft() needs for one length: Stockham passes, the first and the last of radix 4. The twiddle factors lie in
/// memory of the caller's.
struct FftPlan {
  int length = 0;
  int passes = 0;
  std::array<int, 24> radix{};
  std::array<const float*, 24> twiddles{};  ///< of each pass: pairs (cosine, sine) for 1 <= k < radix, in order of p
};

/// The smallest length that fft() takes of at least `length`.
int fft_length(int length);

/// Floats to hold the twiddle factors of one length.
std::size_t fft_twiddle_count(int length);

/// `length` is one that fft_length() returned; `twiddles` must outlive the plan.
FftPlan make_fft_plan(int length, float* twiddles);

/// Transforms in a batch: the lanes of the SIMD target in use.
std::size_t fft_lanes();

/// X[k] = sum_j x[j] exp(-2 pi i j k / length), unnormalised; exchange the real and the imaginary parts of input and
/// output for the inverse. All four arrays are [length][fft_lanes()], aligned to 64 bytes. Returns whether the result
/// lies in scratch instead of (re, im); the other pair is overwritten either way.
bool fft(const FftPlan& plan, float* re, float* im, float* scratch_re, float* scratch_im);

}  // namespace lexiscope::cpu
