// The rotary embedding on vectors of pairs, in place; a token's cosines and sines serve all its heads.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/rotary_embedding.cpp"
#include "kernels/cpu/rotary_embedding.h"

#include <hwy/foreach_target.h>  // must precede highway.h
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/cpu/row_blocks.h"
#include "kernels/cpu/row_vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lexiscope::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using Vector = hn::Vec<F32>;

HWY_INLINE void turn(Vector& a, Vector& b, Vector cosine, Vector sine) {
  const Vector first = hn::MulSub(a, cosine, hn::Mul(b, sine));
  b = hn::MulAdd(b, cosine, hn::Mul(a, sine));
  a = first;
}

void turn_halves(float* head, const float* cosine, const float* sine, std::size_t pairs) {
  const F32 f32;
  for_each_vector<1>(hn::Lanes(f32), pairs, [&](std::size_t i, std::size_t, std::size_t count) HWY_ATTR {
    Vector a = load_first(f32, head + i, count), b = load_first(f32, head + pairs + i, count);
    turn(a, b, load_first(f32, cosine + i, count), load_first(f32, sine + i, count));
    store_first(a, f32, head + i, count);
    store_first(b, f32, head + pairs + i, count);
  });
}

void turn_interleaved(float* head, const float* cosine, const float* sine, std::size_t pairs) {
  const F32 f32;
  constexpr std::size_t kMostLanes = hn::MaxLanes(F32());
  for_each_vector<1>(hn::Lanes(f32), pairs, [&](std::size_t i, std::size_t, std::size_t count) HWY_ATTR {
    HWY_ALIGN float buffer[2 * kMostLanes];  // for the last pairs where they fill no vector
    const bool whole = count >= hn::Lanes(f32);
    float* place = whole ? head + 2 * i : buffer;
    if (!whole) std::copy_n(head + 2 * i, 2 * count, buffer);
    Vector a, b;
    hn::LoadInterleaved2(f32, place, a, b);
    turn(a, b, load_first(f32, cosine + i, count), load_first(f32, sine + i, count));
    hn::StoreInterleaved2(a, b, f32, place);
    if (!whole) std::copy_n(buffer, 2 * count, head + 2 * i);
  });
}

void turn_rows(const RotaryEmbeddingArgs& args, std::size_t first, std::size_t last) {
  const std::size_t head_size = args.x.columns / args.heads, pairs = args.cosine.columns;
  const auto turn_head = args.layout == RotaryLayout::halves ? turn_halves : turn_interleaved;
  for (std::size_t t = first; t < last; ++t)
    for (std::size_t head = 0; head < args.heads; ++head)
      turn_head(args.x.row(t) + head * head_size, args.cosine.row(t), args.sine.row(t), pairs);
}

}  // namespace lexiscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lexiscope::cpu {

HWY_EXPORT(turn_rows);

void rotary_embedding(const RotaryEmbeddingArgs& args, const Context& context) {
  const auto turn = HWY_DYNAMIC_DISPATCH(turn_rows);
  for_each_row_block(args.x.rows, args.x.columns, context.threads,
                     [&](std::size_t first, std::size_t last) { turn(args, first, last); });
}

}  // namespace lexiscope::cpu
#endif
