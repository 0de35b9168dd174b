// 2^x on a vector of f32, for the kernels that take exponentials by the million.
#if defined(LEXISCOPE_KERNELS_CPU_EXP2_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LEXISCOPE_KERNELS_CPU_EXP2_INL_H_
#undef LEXISCOPE_KERNELS_CPU_EXP2_INL_H_
#else
#define LEXISCOPE_KERNELS_CPU_EXP2_INL_H_
#endif

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace lexiscope::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Exp2Vector = hn::Vec<hn::ScalableTag<float>>;

/// 2^r for |r| <= 0.5: the minimax polynomial of degree 5, off by at most 7.5e-8 of the result before rounding.
HWY_INLINE Exp2Vector exp2_of_fraction(Exp2Vector r) {
  const hn::ScalableTag<float> f32;
  auto power = hn::Set(f32, 1.327647203e-3f);
  power = hn::MulAdd(power, r, hn::Set(f32, 9.675541480e-3f));
  power = hn::MulAdd(power, r, hn::Set(f32, 5.550713275e-2f));
  power = hn::MulAdd(power, r, hn::Set(f32, 2.402211972e-1f));
  power = hn::MulAdd(power, r, hn::Set(f32, 6.931469671e-1f));
  return hn::MulAdd(power, r, hn::Set(f32, 1.0f));
}

/// 2^x, within 4 * 2^-24 of the result for x in [-126, 127]; exactly 1 at 0. Below -126 it falls to 0 (which it is from
/// -150 down, -infinity included), through subnormals on some targets. Above 127 it is unspecified.
HWY_INLINE Exp2Vector exp2(Exp2Vector x) {
#if HWY_TARGET <= HWY_AVX3  // one instruction each for x - round(x) and for the scaling
  const __m512 fraction = _mm512_reduce_ps(x.raw, 0);
  return Exp2Vector{_mm512_scalef_ps(exp2_of_fraction(Exp2Vector{fraction}).raw, _mm512_sub_ps(x.raw, fraction))};
#else
  const hn::ScalableTag<float> f32;
  const hn::RebindToSigned<decltype(f32)> i32;
  const auto round_to_integer = hn::Set(f32, 0x1.8p23f);  // adding it leaves the nearest integer in the low bits
  const auto clamped = hn::Max(x, hn::Set(f32, -127.0f));
  const auto shifted = hn::Add(clamped, round_to_integer);
  const auto fraction = hn::Sub(clamped, hn::Sub(shifted, round_to_integer));
  const auto exponent = hn::Add(hn::BitCast(i32, shifted), hn::Set(i32, 127));
  return hn::Mul(exp2_of_fraction(fraction), hn::BitCast(f32, hn::ShiftLeft<23>(exponent)));
#endif
}

}  // namespace lexiscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
