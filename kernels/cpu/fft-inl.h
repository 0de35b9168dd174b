// The batched FFT's passes for one SIMD target: included by the kernels that transform, once for each target.
#if defined(LEXISCOPE_KERNELS_CPU_FFT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LEXISCOPE_KERNELS_CPU_FFT_INL_H_
#undef LEXISCOPE_KERNELS_CPU_FFT_INL_H_
#else
#define LEXISCOPE_KERNELS_CPU_FFT_INL_H_
#endif

#include <hwy/highway.h>

#include <utility>

#include "kernels/cpu/fft.h"

HWY_BEFORE_NAMESPACE();
namespace lexiscope::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::ScalableTag<float>;
using FloatVector = hn::Vec<FloatTag>;

// Which halves of a transform are known to be zero (on the way in) or of no interest (on the way out). Padding to twice
// the length for a convolution that does not wrap leaves one such half on either side.
enum class FftHalf { neither, input, output };

// One butterfly of kRadix complex values, forward sign, in registers.
template <int kRadix, FftHalf kHalf>
HWY_INLINE void butterfly(FloatVector* re, FloatVector* im) {
  const FloatTag d;
  if constexpr (kRadix == 2) {
    const auto r = hn::Sub(re[0], re[1]), i = hn::Sub(im[0], im[1]);
    re[0] = hn::Add(re[0], re[1]);
    im[0] = hn::Add(im[0], im[1]);
    re[1] = r;
    im[1] = i;
  } else if constexpr (kRadix == 3) {
    const auto half = hn::Set(d, 0.5f), sine = hn::Set(d, 0.866025403784f);
    const auto sum_r = hn::Add(re[1], re[2]), sum_i = hn::Add(im[1], im[2]);
    const auto difference_r = hn::Mul(hn::Sub(re[1], re[2]), sine), difference_i = hn::Mul(hn::Sub(im[1], im[2]), sine);
    const auto middle_r = hn::NegMulAdd(half, sum_r, re[0]), middle_i = hn::NegMulAdd(half, sum_i, im[0]);
    re[0] = hn::Add(re[0], sum_r);
    im[0] = hn::Add(im[0], sum_i);
    re[1] = hn::Add(middle_r, difference_i);
    im[1] = hn::Sub(middle_i, difference_r);
    re[2] = hn::Sub(middle_r, difference_i);
    im[2] = hn::Add(middle_i, difference_r);
  } else if constexpr (kRadix == 4 && kHalf == FftHalf::input) {  // values 2 and 3 are zero
    const auto r0 = re[0], i0 = im[0], r1 = re[1], i1 = im[1];
    re[0] = hn::Add(r0, r1);
    im[0] = hn::Add(i0, i1);
    re[1] = hn::Add(r0, i1);
    im[1] = hn::Sub(i0, r1);
    re[2] = hn::Sub(r0, r1);
    im[2] = hn::Sub(i0, i1);
    re[3] = hn::Sub(r0, i1);
    im[3] = hn::Add(i0, r1);
  } else if constexpr (kRadix == 4) {
    const auto even_sum_r = hn::Add(re[0], re[2]), even_sum_i = hn::Add(im[0], im[2]);
    const auto even_r = hn::Sub(re[0], re[2]), even_i = hn::Sub(im[0], im[2]);
    const auto odd_sum_r = hn::Add(re[1], re[3]), odd_sum_i = hn::Add(im[1], im[3]);
    const auto odd_r = hn::Sub(re[1], re[3]), odd_i = hn::Sub(im[1], im[3]);
    re[0] = hn::Add(even_sum_r, odd_sum_r);
    im[0] = hn::Add(even_sum_i, odd_sum_i);
    re[1] = hn::Add(even_r, odd_i);
    im[1] = hn::Sub(even_i, odd_r);
    if constexpr (kHalf != FftHalf::output) {  // values 2 and 3 are wanted
      re[2] = hn::Sub(even_sum_r, odd_sum_r);
      im[2] = hn::Sub(even_sum_i, odd_sum_i);
      re[3] = hn::Sub(even_r, odd_i);
      im[3] = hn::Add(even_i, odd_r);
    }
  } else {
    static_assert(kRadix == 5);
    const auto cosine1 = hn::Set(d, 0.309016994375f), cosine2 = hn::Set(d, -0.809016994375f);
    const auto sine1 = hn::Set(d, 0.951056516295f), sine2 = hn::Set(d, 0.587785252292f);
    const auto sum14_r = hn::Add(re[1], re[4]), sum14_i = hn::Add(im[1], im[4]);
    const auto sum23_r = hn::Add(re[2], re[3]), sum23_i = hn::Add(im[2], im[3]);
    const auto d14_r = hn::Sub(re[1], re[4]), d14_i = hn::Sub(im[1], im[4]);
    const auto d23_r = hn::Sub(re[2], re[3]), d23_i = hn::Sub(im[2], im[3]);
    const auto a_r = hn::MulAdd(cosine2, sum23_r, hn::MulAdd(cosine1, sum14_r, re[0]));
    const auto a_i = hn::MulAdd(cosine2, sum23_i, hn::MulAdd(cosine1, sum14_i, im[0]));
    const auto b_r = hn::MulAdd(cosine1, sum23_r, hn::MulAdd(cosine2, sum14_r, re[0]));
    const auto b_i = hn::MulAdd(cosine1, sum23_i, hn::MulAdd(cosine2, sum14_i, im[0]));
    const auto p_r = hn::MulAdd(sine1, d14_r, hn::Mul(sine2, d23_r));
    const auto p_i = hn::MulAdd(sine1, d14_i, hn::Mul(sine2, d23_i));
    const auto q_r = hn::MulSub(sine2, d14_r, hn::Mul(sine1, d23_r));
    const auto q_i = hn::MulSub(sine2, d14_i, hn::Mul(sine1, d23_i));
    re[0] = hn::Add(re[0], hn::Add(sum14_r, sum23_r));
    im[0] = hn::Add(im[0], hn::Add(sum14_i, sum23_i));
    re[1] = hn::Add(a_r, p_i);
    im[1] = hn::Sub(a_i, p_r);
    re[4] = hn::Sub(a_r, p_i);
    im[4] = hn::Add(a_i, p_r);
    re[2] = hn::Add(b_r, q_i);
    im[2] = hn::Sub(b_i, q_r);
    re[3] = hn::Sub(b_r, q_i);
    im[3] = hn::Add(b_i, q_r);
  }
}

// One Stockham pass (decimation in frequency): sub-transforms of `length`, `stride` of them side by side.
template <int kRadix, FftHalf kHalf>
void fft_pass(int length, int stride, const float* twiddles, const float* in_re, const float* in_im, float* out_re,
              float* out_im) {
  constexpr int kRead = kHalf == FftHalf::input ? kRadix / 2 : kRadix;
  constexpr int kWritten = kHalf == FftHalf::output ? kRadix / 2 : kRadix;
  const FloatTag d;
  const std::size_t lanes = hn::Lanes(d);
  const int quotient = length / kRadix;
  for (int p = 0; p < quotient; ++p, twiddles += 2 * (kRadix - 1)) {
    FloatVector cosine[kRadix], sine[kRadix];
    for (int k = 1; k < kWritten; ++k) {
      cosine[k] = hn::Set(d, twiddles[2 * (k - 1)]);
      sine[k] = hn::Set(d, twiddles[2 * (k - 1) + 1]);
    }
    for (int q = 0; q < stride; ++q) {
      FloatVector re[kRadix], im[kRadix];
      for (int k = 0; k < kRead; ++k) {
        const std::size_t at = static_cast<std::size_t>(q + stride * (p + k * quotient)) * lanes;
        re[k] = hn::Load(d, in_re + at);
        im[k] = hn::Load(d, in_im + at);
      }
      butterfly<kRadix, kHalf>(re, im);
      for (int k = 0; k < kWritten; ++k) {
        const std::size_t at = static_cast<std::size_t>(q + stride * (kRadix * p + k)) * lanes;
        const auto r = re[k], i = im[k];
        hn::Store(k == 0 ? r : hn::MulSub(r, cosine[k], hn::Mul(i, sine[k])), d, out_re + at);
        hn::Store(k == 0 ? i : hn::MulAdd(r, sine[k], hn::Mul(i, cosine[k])), d, out_im + at);
      }
    }
  }
}

// fft() of fft.h, with a half of the input taken as zero or a half of the output left unwritten. Returns the arrays
// that hold the result.
template <FftHalf kHalf>
std::pair<float*, float*> run_fft(const FftPlan& plan, float* re, float* im, float* other_re, float* other_im) {
  constexpr FftHalf kFirst = kHalf == FftHalf::input ? kHalf : FftHalf::neither;
  constexpr FftHalf kLast = kHalf == FftHalf::output ? kHalf : FftHalf::neither;
  int length = plan.length, stride = 1;
  for (int pass = 0; pass < plan.passes; ++pass) {
    const auto at = static_cast<std::size_t>(pass);
    const float* twiddles = plan.twiddles[at];
    const auto run = [&](auto function) { function(length, stride, twiddles, re, im, other_re, other_im); };
    if (pass == 0)
      run(fft_pass<4, kFirst>);
    else if (pass == plan.passes - 1)
      run(fft_pass<4, kLast>);
    else if (plan.radix[at] == 4)
      run(fft_pass<4, FftHalf::neither>);
    else if (plan.radix[at] == 5)
      run(fft_pass<5, FftHalf::neither>);
    else if (plan.radix[at] == 3)
      run(fft_pass<3, FftHalf::neither>);
    else
      run(fft_pass<2, FftHalf::neither>);
    std::swap(re, other_re);
    std::swap(im, other_im);
    length /= plan.radix[at];
    stride *= plan.radix[at];
  }
  return {re, im};
}

}  // namespace lexiscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
