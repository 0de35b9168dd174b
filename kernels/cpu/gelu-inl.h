// GELU on vectors, exact and by tanh, and SiLU: the activations that the linear layers fuse behind their products.
#if defined(LEXISCOPE_KERNELS_CPU_GELU_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef LEXISCOPE_KERNELS_CPU_GELU_INL_H
#undef LEXISCOPE_KERNELS_CPU_GELU_INL_H
#else
#define LEXISCOPE_KERNELS_CPU_GELU_INL_H
#endif

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include "kernels/cpu/exp2-inl.h"
#include "lexiscope/ops/linear.h"

HWY_BEFORE_NAMESPACE();
namespace lexiscope::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Phi(-a) for a in [0, kTailEnd]: piece j holds a = kPieceWidth (j + r), r in [-1/2, 1/2], as a polynomial of degree 6
// in r, the minimax one; row i has the coefficients of r^i. Phi(-a) is off by at most 4e-8, a Phi(-a) by 3.6e-8 with
// f32 rounding. A row is as long as the widest vector, so that it can be looked up in a register.
inline constexpr float kPieceWidth = 0.8f, kTailEnd = 5.99f;  // past the end a Phi(-a) < 6.3e-9 stands still
alignas(64) inline constexpr float kNormalTail[7][16] = {
    {5.000000000e-01f, 2.118553966e-01f, 5.479929224e-02f, 8.197535761e-03f, 6.871379446e-04f, 3.167124305e-05f,
     7.933281267e-07f, 1.071759037e-08f},
    {-3.191538751e-01f, -2.317533940e-01f, -8.873681724e-02f, -1.791552827e-02f, -1.907260739e-03f, -1.070732469e-04f,
     -3.170574473e-06f, -4.954302213e-08f},
    {1.327307245e-06f, 7.416096330e-02f, 5.679152161e-02f, 1.719899848e-02f, 2.441297751e-03f, 1.713037636e-04f,
     6.085020686e-06f, 1.108269672e-07f},
    {3.402705118e-02f, 8.904346265e-03f, -1.476108842e-02f, -9.099463932e-03f, -1.880119205e-03f, -1.710123324e-04f,
     -7.401177754e-06f, -1.575604927e-07f},
    {9.245778347e-05f, -9.332012385e-03f, -1.334398985e-03f, 2.531748265e-03f, 9.429439669e-04f, 1.187354719e-04f,
     6.488302006e-06f, 1.664798503e-07f},
    {-3.543741768e-03f, 2.999333083e-04f, 1.721104956e-03f, -7.395054854e-05f, -2.997233823e-04f, -6.189480337e-05f,
     -4.668924703e-06f, -1.553979985e-07f},
    {4.122071259e-04f, 7.410171675e-04f, -2.478444949e-04f, -1.848574757e-04f, 4.629710020e-05f, 2.191239219e-05f,
     2.302413350e-06f, 9.503002474e-08f}};

template <class D, class Index>
HWY_INLINE hn::Vec<D> look_up(D f32, const float* row, Index index) {
  if constexpr (hn::MaxLanes(D()) >= 8)
    return hn::TableLookupLanes(hn::Load(f32, row), hn::IndicesFromVec(f32, index));
  else
    return hn::GatherIndex(f32, row, index);
}

/// x Phi(x) = max(x, 0) - |x| Phi(-|x|): the tail is small where x is large, so nothing cancels. Off by less than
/// 1.5 u |x| + 1e-8, u = 2^-24; NaN stays NaN.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V gelu_erf(D f32, V x) {
  const V a = hn::Min(hn::Abs(x), hn::Set(f32, kTailEnd));  // NaN becomes kTailEnd, an index within the table
  const V position = hn::Mul(a, hn::Set(f32, 1 / kPieceWidth));
  const auto piece = hn::NearestInt(position);
  const V r = hn::Sub(position, hn::ConvertTo(f32, piece));
  V tail = look_up(f32, kNormalTail[6], piece);
  for (int i = 5; i >= 0; --i) tail = hn::MulAdd(tail, r, look_up(f32, kNormalTail[i], piece));
  const V positive = hn::IfThenZeroElse(hn::Lt(x, hn::Zero(f32)), x);
  return hn::NegMulAdd(a, tail, positive);
}

/// 0.5 x (1 + tanh(z)) = x / (1 + exp(-2 z)), z = sqrt(2 / pi) (x + 0.044715 x^3); NaN stays NaN.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V gelu_tanh(D f32, V x) {
  constexpr float kLinear = -1.5957691216f, kCubic = kLinear * 0.044715f;  // -2 sqrt(2 / pi)
  const V exponent = hn::Mul(x, hn::MulAdd(hn::Set(f32, kCubic), hn::Mul(x, x), hn::Set(f32, kLinear)));
  const V largest = hn::Set(f32, 88.0f);  // exp(88) is still finite
  return hn::Div(x, hn::Add(hn::Set(f32, 1.0f), hn::Exp(f32, hn::Min(exponent, largest))));
}

/// x / (1 + exp(-x)); NaN stays NaN.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V silu(D f32, V x) {
  constexpr float kLog2E = 1.4426950409f;
  const V exponent = hn::Min(hn::Mul(x, hn::Set(f32, -kLog2E)), hn::Set(f32, 127.0f));
  return hn::Div(x, hn::Add(hn::Set(f32, 1.0f), exp2(exponent)));
}

template <Activation activation, class D, class V = hn::Vec<D>>
HWY_INLINE V activate(D f32, V x) {
  if constexpr (activation == Activation::gelu_erf) return gelu_erf(f32, x);
  if constexpr (activation == Activation::gelu_tanh) return gelu_tanh(f32, x);
  if constexpr (activation == Activation::silu) return silu(f32, x);
  return x;
}

}  // namespace lexiscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
