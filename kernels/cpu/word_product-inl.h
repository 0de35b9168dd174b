// Products of words of 32 bits, one f32 or two bf16: how they multiply and add into f32, and how f32 become words.
#if defined(LEXISCOPE_KERNELS_CPU_WORD_PRODUCT_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef LEXISCOPE_KERNELS_CPU_WORD_PRODUCT_INL_H
#undef LEXISCOPE_KERNELS_CPU_WORD_PRODUCT_INL_H
#else
#define LEXISCOPE_KERNELS_CPU_WORD_PRODUCT_INL_H
#endif

#include <hwy/highway.h>

#if HWY_TARGET == HWY_AVX3_DL  // Highway 1.0.3 has no target with bf16 products: widened for Bf16Native alone
HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512bf16")
#else
HWY_BEFORE_NAMESPACE();
#endif
namespace lexiscope::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using U32 = hn::RebindToUnsigned<F32>;
using Vector = hn::Vec<F32>;  ///< of f32, or of words

struct F32Product {
  static constexpr std::size_t kElements = 1;  // in a word

  static HWY_INLINE Vector multiply_add(Vector a, Vector b, Vector sum) { return hn::MulAdd(a, b, sum); }
};

struct Bf16Product {
  static constexpr std::size_t kElements = 2;

  static HWY_INLINE Vector low(Vector words) {
    return hn::BitCast(F32(), hn::ShiftLeft<16>(hn::BitCast(U32(), words)));
  }
  static HWY_INLINE Vector high(Vector words) {
    return hn::BitCast(F32(), hn::And(hn::BitCast(U32(), words), hn::Set(U32(), 0xFFFF0000u)));
  }
  static HWY_INLINE Vector multiply_add(Vector a, Vector b, Vector sum) {
    return hn::MulAdd(low(a), low(b), hn::MulAdd(high(a), high(b), sum));
  }
  // Rounds to nearest, ties to even, in the upper half; the lower half is left over.
  static HWY_INLINE hn::Vec<U32> round(Vector value) {
    const auto bits = hn::BitCast(U32(), value);
    const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(U32(), 1u));
    return hn::Add(bits, hn::Add(odd, hn::Set(U32(), 0x7FFFu)));
  }
  /// Words of two weights each, which the values' rows come in too.
  static HWY_INLINE Vector pair(Vector first, Vector second) {
    const auto upper = hn::And(round(second), hn::Set(U32(), 0xFFFF0000u));
    return hn::BitCast(F32(), hn::Or(hn::ShiftRight<16>(round(first)), upper));
  }
};

#if HWY_TARGET == HWY_AVX3_DL
/// For processors with avx512bf16, which the caller makes sure of: the target does not imply it. Subnormals count as 0.
struct Bf16Native {
  static constexpr std::size_t kElements = 2;

  static HWY_INLINE Vector multiply_add(Vector a, Vector b, Vector sum) {
    return Vector{_mm512_dpbf16_ps(sum.raw, reinterpret_cast<__m512bh>(a.raw), reinterpret_cast<__m512bh>(b.raw))};
  }
  static HWY_INLINE Vector pair(Vector first, Vector second) {
    alignas(64) static constexpr std::uint16_t kInterleave[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                                                  21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                                                  11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    const auto both = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(second.raw, first.raw));
    return Vector{_mm512_castsi512_ps(_mm512_permutexvar_epi16(_mm512_load_si512(kInterleave), both))};
  }
};
#endif

}  // namespace lexiscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
