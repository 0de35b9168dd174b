// A row's last vector, where it is only partly filled.
#if defined(LEXISCOPE_KERNELS_CPU_PARTIAL_VECTOR_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef LEXISCOPE_KERNELS_CPU_PARTIAL_VECTOR_INL_H
#undef LEXISCOPE_KERNELS_CPU_PARTIAL_VECTOR_INL_H
#else
#define LEXISCOPE_KERNELS_CPU_PARTIAL_VECTOR_INL_H
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>

HWY_BEFORE_NAMESPACE();
namespace lexiscope::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// The first `count` lanes from memory, or all where count is larger; 0 in the others, whose memory is not touched.
/// Below AVX2 Highway's masked load and store do touch it, so there the lanes go through a buffer.
template <class D>
HWY_INLINE hn::Vec<D> load_first(D d, const hn::TFromD<D>* from, std::size_t count) {
  if (count >= hn::Lanes(d)) return hn::LoadU(d, from);
  if constexpr (HWY_CAP_GE256) return hn::MaskedLoad(hn::FirstN(d, count), d, from);
  HWY_ALIGN hn::TFromD<D> lanes[hn::MaxLanes(D())] = {};
  std::copy_n(from, count, lanes);
  return hn::Load(d, lanes);
}

/// The first `count` lanes of a value, or all where count is larger; 0 in the others.
template <class D>
HWY_INLINE hn::Vec<D> keep_first(D d, hn::Vec<D> value, std::size_t count) {
  return count >= hn::Lanes(d) ? value : hn::IfThenElseZero(hn::FirstN(d, count), value);
}

/// Stores the first `count` lanes, or all where count is larger.
template <class D>
HWY_INLINE void store_first(hn::Vec<D> value, D d, hn::TFromD<D>* to, std::size_t count) {
  if (count >= hn::Lanes(d)) {
    hn::StoreU(value, d, to);
  } else if constexpr (HWY_CAP_GE256) {
    hn::BlendedStore(value, hn::FirstN(d, count), d, to);
  } else {
    HWY_ALIGN hn::TFromD<D> lanes[hn::MaxLanes(D())];
    hn::Store(value, d, lanes);
    std::copy_n(lanes, count, to);
  }
}

}  // namespace lexiscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
