// Drift on vectors: one pass over two rows sums four products in double. So no element is too large, a difference of
// near-equal ones is exact enough, and memory is what takes the time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/drift.cpp"
#include "kernels/cpu/drift.h"

#include <hwy/foreach_target.h>  // must precede highway.h
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/row_blocks.h"
#include "kernels/cpu/row_vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lexiscope::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F64 = hn::ScalableTag<double>;

struct DriftSums {
  double moved = 0, before = 0, after = 0, dot = 0;  // of (b - a)^2, a^2, b^2 and a b
};

// A norm alone takes the first of them alone.
template <bool kNormAlone>
DriftSums drift_sums(const float* before, const float* after, std::size_t d) {
  const F64 f64;
  const auto zero = hn::Zero(f64);
  hn::Vec<F64> moved[2] = {zero, zero}, squares_a[2] = {zero, zero}, squares_b[2] = {zero, zero}, dot[2] = {zero, zero};
  for_each_vector<2>(hn::Lanes(f64), d, [&](std::size_t i, std::size_t chain, std::size_t count) HWY_ATTR {
    const auto a = load_first_as_f64(f64, before + i, count), b = load_first_as_f64(f64, after + i, count);
    const auto step = hn::Sub(b, a);
    moved[chain] = hn::MulAdd(step, step, moved[chain]);
    if constexpr (kNormAlone) return;
    squares_a[chain] = hn::MulAdd(a, a, squares_a[chain]);
    squares_b[chain] = hn::MulAdd(b, b, squares_b[chain]);
    dot[chain] = hn::MulAdd(a, b, dot[chain]);
  });
  if constexpr (kNormAlone) return {.moved = sum_of_chains(f64, moved)};
  return {sum_of_chains(f64, moved), sum_of_chains(f64, squares_a), sum_of_chains(f64, squares_b),
          sum_of_chains(f64, dot)};
}

double relative_step(const DriftSums& sums) {
  if (sums.before == 0) return sums.after == 0 ? 0 : std::numeric_limits<double>::infinity();
  return std::sqrt(sums.moved / sums.before);
}

double cosine(const DriftSums& sums) {
  if (sums.before == 0 || sums.after == 0) return 0;
  return std::clamp(sums.dot / std::sqrt(sums.before * sums.after), -1.0, 1.0);
}

void drift_rows(const DriftArgs& args, std::size_t first, std::size_t last) {
  const bool norm_alone = args.relative.empty() && args.cosine.empty();
  const auto sums_of = norm_alone ? drift_sums<true> : drift_sums<false>;
  for (std::size_t t = first; t < last; ++t) {
    const DriftSums sums = sums_of(args.before.row(t), args.after.row(t), args.before.columns);
    if (!args.norm.empty()) args.norm[t] = static_cast<float>(std::sqrt(sums.moved));
    if (!args.relative.empty()) args.relative[t] = static_cast<float>(relative_step(sums));
    if (!args.cosine.empty()) args.cosine[t] = static_cast<float>(cosine(sums));
  }
}

}  // namespace lexiscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lexiscope::cpu {

HWY_EXPORT(drift_rows);

void drift(const DriftArgs& args, const Context& context) {
  const auto run = HWY_DYNAMIC_DISPATCH(drift_rows);
  for_each_row_block(args.before.rows, args.before.columns, context.threads,
                     [&](std::size_t first, std::size_t last) { run(args, first, last); });
}

}  // namespace lexiscope::cpu
#endif
