// LayerNorm on vectors: three passes over a row that fits the first-level cache, rows over threads. Two passes for
// the moments, since the one-pass formula cancels where the mean is large beside the deviation.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/layer_norm.cpp"
#include "kernels/cpu/layer_norm.h"

#include <hwy/foreach_target.h>  // must precede highway.h
#include <hwy/highway.h>

#include <cmath>

#include "kernels/cpu/row_blocks.h"
#include "kernels/cpu/row_vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lexiscope::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using Vector = hn::Vec<F32>;
constexpr std::size_t kChains = 4;  // an addition takes as long as four can be started

// y holds the sums between the passes. It may be x or residual: the first pass reads a place before it writes it.
void normalize_row(const LayerNormArgs& args, std::size_t t) {
  const F32 f32;
  const std::size_t d = args.x.columns, lanes = hn::Lanes(f32);
  const auto width = static_cast<float>(d);
  const float* x = args.x.row(t);
  const float* residual = args.residual.empty() ? nullptr : args.residual.row(t);
  const float* bias = args.bias.empty() ? nullptr : args.bias.data;
  float* y = args.y.row(t);

  Vector sums[kChains] = {hn::Zero(f32), hn::Zero(f32), hn::Zero(f32), hn::Zero(f32)};
  for_each_vector<kChains>(lanes, d, [&](std::size_t i, std::size_t chain, std::size_t count) HWY_ATTR {
    auto s = load_first(f32, x + i, count);
    if (residual) s = hn::Add(s, load_first(f32, residual + i, count));
    store_first(s, f32, y + i, count);
    sums[chain] = hn::Add(sums[chain], s);
  });
  const auto mean = hn::Set(f32, sum_of_chains(f32, sums) / width);

  Vector squares[kChains] = {hn::Zero(f32), hn::Zero(f32), hn::Zero(f32), hn::Zero(f32)};
  for_each_vector<kChains>(lanes, d, [&](std::size_t i, std::size_t chain, std::size_t count) HWY_ATTR {
    const auto deviation = keep_first(f32, hn::Sub(load_first(f32, y + i, count), mean), count);
    squares[chain] = hn::MulAdd(deviation, deviation, squares[chain]);
  });
  const auto scale = hn::Set(f32, 1.0f / std::sqrt(sum_of_chains(f32, squares) / width + args.epsilon));

  for_each_vector<kChains>(lanes, d, [&](std::size_t i, std::size_t, std::size_t count) HWY_ATTR {
    const auto normal = hn::Mul(hn::Sub(load_first(f32, y + i, count), mean), scale);
    const auto b = bias ? load_first(f32, bias + i, count) : hn::Zero(f32);
    store_first(hn::MulAdd(normal, load_first(f32, args.gain.data + i, count), b), f32, y + i, count);
  });
}

void normalize_rows(const LayerNormArgs& args, std::size_t first, std::size_t last) {
  for (std::size_t t = first; t < last; ++t) normalize_row(args, t);
}

}  // namespace lexiscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lexiscope::cpu {

HWY_EXPORT(normalize_rows);

void layer_norm(const LayerNormArgs& args, const Context& context) {
  const auto normalize = HWY_DYNAMIC_DISPATCH(normalize_rows);
  for_each_row_block(args.x.rows, args.x.columns, context.threads,
                     [&](std::size_t first, std::size_t last) { normalize(args, first, last); });
}

}  // namespace lexiscope::cpu
#endif
