// What the t-SNE kernels do across lanes: transposition and sums of as many vectors as a vector has lanes.
#if defined(LEXISCOPE_KERNELS_CPU_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LEXISCOPE_KERNELS_CPU_LANES_INL_H_
#undef LEXISCOPE_KERNELS_CPU_LANES_INL_H_
#else
#define LEXISCOPE_KERNELS_CPU_LANES_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>

HWY_BEFORE_NAMESPACE();
namespace lexiscope::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

inline constexpr std::size_t kMostLanes = hn::MaxLanes(hn::ScalableTag<float>());

// rows[r][c] -> rows[c][r], for as many rows as lanes. Each round moves the lowest bit of the row's number to the top
// of the lane's and the lowest bit of the lane's to the top of the row's; after log2(lanes) rounds they have changed
// places.
template <typename Vector>
HWY_INLINE void transpose(Vector* rows) {
#if HWY_TARGET != HWY_SCALAR
  const hn::ScalableTag<float> d;
  for (std::size_t rounds = kMostLanes; rounds > 1; rounds /= 2) {
    Vector next[kMostLanes];
    for (std::size_t i = 0; i < kMostLanes / 2; ++i) {
      next[i] = hn::ConcatEven(d, rows[2 * i + 1], rows[2 * i]);
      next[i + kMostLanes / 2] = hn::ConcatOdd(d, rows[2 * i + 1], rows[2 * i]);
    }
    for (std::size_t i = 0; i < kMostLanes; ++i) rows[i] = next[i];
  }
#else
  static_cast<void>(rows);
#endif
}

// The vector whose lane r is the sum of the lanes of rows[r]. Overwrites the rows.
template <typename Vector>
HWY_INLINE Vector sums_of_rows(Vector* rows) {
#if HWY_TARGET != HWY_SCALAR
  const hn::ScalableTag<float> d;
  for (std::size_t left = kMostLanes; left > 1; left /= 2)
    for (std::size_t i = 0; i < left / 2; ++i)
      rows[i] =
          hn::Add(hn::ConcatEven(d, rows[2 * i + 1], rows[2 * i]), hn::ConcatOdd(d, rows[2 * i + 1], rows[2 * i]));
#endif
  return rows[0];
}

}  // namespace lexiscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
