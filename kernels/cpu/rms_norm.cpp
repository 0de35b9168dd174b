// RMSNorm on vectors: two passes over a row that fits the first-level cache. Squares are summed in double, so that no
// element is too large, and the row's memory is waited for anyway.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/rms_norm.cpp"
#include "kernels/cpu/rms_norm.h"

#include <hwy/foreach_target.h>  // must precede highway.h
#include <hwy/highway.h>

#include <cmath>

#include "kernels/cpu/row_blocks.h"
#include "kernels/cpu/row_vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lexiscope::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using F64 = hn::ScalableTag<double>;

double mean_square(const float* x, std::size_t d) {
  const F64 f64;
  hn::Vec<F64> squares[4] = {hn::Zero(f64), hn::Zero(f64), hn::Zero(f64), hn::Zero(f64)};
  for_each_vector<4>(hn::Lanes(f64), d, [&](std::size_t i, std::size_t chain, std::size_t count) HWY_ATTR {
    const auto value = load_first_as_f64(f64, x + i, count);
    squares[chain] = hn::MulAdd(value, value, squares[chain]);
  });
  return sum_of_chains(f64, squares) / static_cast<double>(d);
}

void rms_normalize_rows(const RmsNormArgs& args, std::size_t first, std::size_t last) {
  const F32 f32;
  const std::size_t d = args.x.columns;
  for (std::size_t t = first; t < last; ++t) {
    const float* x = args.x.row(t);
    float* y = args.y.row(t);
    const double root = std::sqrt(mean_square(x, d) + args.epsilon);
    // Beyond 2^126 a root's inverse is subnormal, and loses bits: elements take a part of the division first.
    const double part = root > 0x1p64 ? 0x1p-64 : 1;
    const auto down = hn::Set(f32, static_cast<float>(part)),
               scale = hn::Set(f32, static_cast<float>(1 / (root * part)));
    for_each_vector<4>(hn::Lanes(f32), d, [&](std::size_t i, std::size_t, std::size_t count) HWY_ATTR {
      const auto normal = hn::Mul(hn::Mul(load_first(f32, x + i, count), down), scale);
      store_first(hn::Mul(normal, load_first(f32, args.gain.data + i, count)), f32, y + i, count);
    });
  }
}

}  // namespace lexiscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lexiscope::cpu {

HWY_EXPORT(rms_normalize_rows);

void rms_norm(const RmsNormArgs& args, const Context& context) {
  const auto normalize = HWY_DYNAMIC_DISPATCH(rms_normalize_rows);
  for_each_row_block(args.x.rows, args.x.columns, context.threads,
                     [&](std::size_t first, std::size_t last) { normalize(args, first, last); });
}

}  // namespace lexiscope::cpu
#endif
