// Plans of the batched FFT, and the transform itself for callers outside a kernel.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/fft.cpp"
#include "kernels/cpu/fft.h"

#include <hwy/foreach_target.h>  // must precede highway.h
#include <hwy/highway.h>

#include <cmath>
#include <numbers>

#include "kernels/cpu/fft-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lexiscope::cpu::HWY_NAMESPACE {

std::size_t lanes_here() { return hn::Lanes(FloatTag()); }

bool fft_here(const FftPlan& plan, float* re, float* im, float* scratch_re, float* scratch_im) {
  return run_fft<FftHalf::neither>(plan, re, im, scratch_re, scratch_im).first != re;
}

}  // namespace lexiscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lexiscope::cpu {
namespace {

constexpr int kEndRadix = 4;  // of the first and of the last pass, which prune the zero half
constexpr int kUnit = kEndRadix * kEndRadix;

}  // namespace

HWY_EXPORT(lanes_here);
HWY_EXPORT(fft_here);

int fft_length(int length) {
  for (int multiple = (length + kUnit - 1) / kUnit;; ++multiple) {
    int rest = multiple;
    for (const int factor : {2, 3, 5})
      while (rest % factor == 0) rest /= factor;
    if (rest == 1) return multiple * kUnit;
  }
}

std::size_t fft_twiddle_count(int length) { return 2 * static_cast<std::size_t>(length); }

FftPlan make_fft_plan(int length, float* twiddles) {
  FftPlan plan;
  plan.length = length;
  const auto add_pass = [&](int radix) { plan.radix[static_cast<std::size_t>(plan.passes++)] = radix; };
  add_pass(kEndRadix);
  int rest = length / kUnit;
  for (const int radix : {4, 5, 3, 2})
    for (; rest % radix == 0; rest /= radix) add_pass(radix);
  add_pass(kEndRadix);

  int sub_length = length;
  for (std::size_t pass = 0; pass < static_cast<std::size_t>(plan.passes); ++pass) {
    const int radix = plan.radix[pass];
    plan.twiddles[pass] = twiddles;
    for (int p = 0; p < sub_length / radix; ++p)
      for (int k = 1; k < radix; ++k) {
        const double angle = -2 * std::numbers::pi * p * k / sub_length;
        *twiddles++ = static_cast<float>(std::cos(angle));
        *twiddles++ = static_cast<float>(std::sin(angle));
      }
    sub_length /= radix;
  }
  return plan;
}

std::size_t fft_lanes() { return HWY_DYNAMIC_DISPATCH(lanes_here)(); }

bool fft(const FftPlan& plan, float* re, float* im, float* scratch_re, float* scratch_im) {
  return HWY_DYNAMIC_DISPATCH(fft_here)(plan, re, im, scratch_re, scratch_im);
}

}  // namespace lexiscope::cpu
#endif
