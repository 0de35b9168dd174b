// A row as vectors, taken in turn by several chains, so that a sum does not wait for the addition before it.
#if defined(LEXISCOPE_KERNELS_CPU_ROW_VECTORS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef LEXISCOPE_KERNELS_CPU_ROW_VECTORS_INL_H
#undef LEXISCOPE_KERNELS_CPU_ROW_VECTORS_INL_H
#else
#define LEXISCOPE_KERNELS_CPU_ROW_VECTORS_INL_H
#endif

#include <hwy/highway.h>

#include <cstddef>

#include "kernels/cpu/partial_vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lexiscope::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// body(i, chain, count) for every vector of `lanes` elements of a row of d, `count` of its lanes (or more than there
/// are) within the row.
template <std::size_t kChains, class Body>
HWY_INLINE void for_each_vector(std::size_t lanes, std::size_t d, const Body& body) {
  std::size_t i = 0;
  for (; i + kChains * lanes <= d; i += kChains * lanes)
    for (std::size_t chain = 0; chain < kChains; ++chain) body(i + chain * lanes, chain, lanes);
  for (std::size_t chain = 0; chain < kChains; ++chain, i += lanes)
    if (i < d) body(i, chain, d - i);
}

/// The sum of all lanes of all chains.
template <class D, std::size_t kChains>
HWY_INLINE hn::TFromD<D> sum_of_chains(D tag, const hn::Vec<D> (&sums)[kChains]) {
  hn::Vec<D> halves[kChains];
  for (std::size_t chain = 0; chain < kChains; ++chain) halves[chain] = sums[chain];
  for (std::size_t left = kChains; left > 1; left /= 2)
    for (std::size_t chain = 0; chain < left / 2; ++chain)
      halves[chain] = hn::Add(halves[2 * chain], halves[2 * chain + 1]);
  return hn::GetLane(hn::SumOfLanes(tag, halves[0]));
}

/// f64 lanes from the first `count` f32 in memory, 0 in the others.
template <class D64>
HWY_INLINE hn::Vec<D64> load_first_as_f64(D64 f64, const float* from, std::size_t count) {
  return hn::PromoteTo(f64, load_first(hn::Rebind<float, D64>(), from, count));
}

}  // namespace lexiscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
