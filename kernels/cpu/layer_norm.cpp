// LayerNorm on vectors: three passes over a row that fits the first-level cache, rows over threads. Two passes for
// the moments, since the one-pass formula cancels where the mean is large beside the deviation.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/layer_norm.cpp"
#include "kernels/cpu/layer_norm.h"

#include <hwy/foreach_target.h>  // must precede highway.h
#include <hwy/highway.h>

#include <cmath>

#include "kernels/cpu/partial_vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lexiscope::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using Vector = hn::Vec<F32>;
constexpr std::size_t kChains = 4;  // independent sums: an addition takes as long as four can be started

// body(i, chain, count) for every vector of a row of d, `count` of its lanes (or more than there are) within the row.
template <class Body>
HWY_INLINE void for_each_vector(std::size_t d, const Body& body) {
  const std::size_t lanes = hn::Lanes(F32());
  std::size_t i = 0;
  for (; i + kChains * lanes <= d; i += kChains * lanes)
    for (std::size_t chain = 0; chain < kChains; ++chain) body(i + chain * lanes, chain, lanes);
  for (std::size_t chain = 0; chain < kChains; ++chain, i += lanes)
    if (i < d) body(i, chain, d - i);
}

// The mean over d of the lanes of all chains.
HWY_INLINE float mean_of(const Vector (&sums)[kChains], std::size_t d) {
  const Vector sum = hn::Add(hn::Add(sums[0], sums[1]), hn::Add(sums[2], sums[3]));
  return hn::GetLane(hn::SumOfLanes(F32(), sum)) / static_cast<float>(d);
}

// y holds the sums between the passes. It may be x or residual: the first pass reads a place before it writes it.
void normalize_row(const LayerNormArgs& args, std::size_t t) {
  const F32 f32;
  const std::size_t d = args.x.columns;
  const float* x = args.x.row(t);
  const float* residual = args.residual.empty() ? nullptr : args.residual.row(t);
  const float* bias = args.bias.empty() ? nullptr : args.bias.data;
  float* y = args.y.row(t);

  Vector sums[kChains] = {hn::Zero(f32), hn::Zero(f32), hn::Zero(f32), hn::Zero(f32)};
  for_each_vector(d, [&](std::size_t i, std::size_t chain, std::size_t count) HWY_ATTR {
    auto s = load_first(f32, x + i, count);
    if (residual) s = hn::Add(s, load_first(f32, residual + i, count));
    store_first(s, f32, y + i, count);
    sums[chain] = hn::Add(sums[chain], s);
  });
  const auto mean = hn::Set(f32, mean_of(sums, d));

  Vector squares[kChains] = {hn::Zero(f32), hn::Zero(f32), hn::Zero(f32), hn::Zero(f32)};
  for_each_vector(d, [&](std::size_t i, std::size_t chain, std::size_t count) HWY_ATTR {
    const auto deviation = keep_first(f32, hn::Sub(load_first(f32, y + i, count), mean), count);
    squares[chain] = hn::MulAdd(deviation, deviation, squares[chain]);
  });
  const auto scale = hn::Set(f32, 1.0f / std::sqrt(mean_of(squares, d) + args.epsilon));

  for_each_vector(d, [&](std::size_t i, std::size_t, std::size_t count) HWY_ATTR {
    const auto normal = hn::Mul(hn::Sub(load_first(f32, y + i, count), mean), scale);
    const auto b = bias ? load_first(f32, bias + i, count) : hn::Zero(f32);
    store_first(hn::MulAdd(normal, load_first(f32, args.gain.data + i, count), b), f32, y + i, count);
  });
}

}  // namespace lexiscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lexiscope::cpu {

HWY_EXPORT(normalize_row);

void layer_norm(const LayerNormArgs& args, const Context& context) {
  const auto normalize = HWY_DYNAMIC_DISPATCH(normalize_row);
#pragma omp parallel for schedule(static) num_threads(context.threads)
  for (std::size_t t = 0; t < args.x.rows; ++t) normalize(args, t);
}

}  // namespace lexiscope::cpu
#endif
