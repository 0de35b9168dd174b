// Attraction over the sparse affinities, and what follows it point by point: the gradient or the whole step. As many
// rows as a vector has lanes are summed and then turned, so that the rest works on one vector of points.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/tsne_attraction.cpp"
#include "kernels/cpu/tsne_attraction.h"

#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>  // must precede highway.h
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/cpu/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lexiscope::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::ScalableTag<float>;
using FloatVector = hn::Vec<FloatTag>;

constexpr std::int64_t kPrefetchDistance = 512;  // entries: the edges stream from memory, in rows too short to foresee

#if HWY_TARGET != HWY_SCALAR
// The points at `columns`, each 8 bytes, side by side: pairs of loads, which beat a gather.
template <class D64>
HWY_INLINE hn::Vec<D64> load_points(D64 d, const std::uint64_t* points, const std::int32_t* columns) {
  if constexpr (hn::MaxLanes(D64()) == 1) {
    return hn::LoadU(d, points + columns[0]);
  } else {
    const hn::Half<D64> half;
    const auto low = load_points(half, points, columns);
    return hn::Combine(d, load_points(half, points, columns + hn::Lanes(half)), low);
  }
}
#endif

// The coordinates of the points at `columns`, one vector a coordinate.
template <std::size_t kDimensions>
HWY_INLINE void load_neighbors(const TsneState& state, const std::int32_t* columns, FloatVector* position) {
  const FloatTag d;
#if HWY_TARGET != HWY_SCALAR
  if constexpr (kDimensions == 2) {
    const hn::Repartition<std::uint64_t, FloatTag> d64;
    const auto* points = reinterpret_cast<const std::uint64_t*>(state.interleaved);
    const auto low = hn::BitCast(d, load_points(d64, points, columns));
    const auto high = hn::BitCast(d, load_points(d64, points, columns + hn::Lanes(d) / 2));
    position[0] = hn::ConcatEven(d, high, low);
    position[1] = hn::ConcatOdd(d, high, low);
    return;
  }
#endif
  const hn::RebindToSigned<FloatTag> i32;
  const auto index = hn::Mul(hn::Load(i32, columns), hn::Set(i32, kDimensions == 2 ? 2 : 4));
  for (std::size_t c = 0; c < kDimensions; ++c) position[c] = hn::GatherIndex(d, state.interleaved + c, index);
}

// sum_j p_ij q_ij (y_i - y_j) of row i, over lanes still to be added up.
template <std::size_t kDimensions>
HWY_INLINE void attract_row(const TsneState& state, const TsneAffinities& affinities, std::size_t i, FloatVector* sum) {
  const FloatTag d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto one = hn::Set(d, 1.0f);
  FloatVector own[kDimensions];
  for (std::size_t c = 0; c < kDimensions; ++c) {
    own[c] = hn::Set(d, state.position[c][i]);
    sum[c] = hn::Zero(d);
  }
  for (std::int64_t e = affinities.row_offsets[i]; e < affinities.row_offsets[i + 1]; e += lanes) {
    hwy::Prefetch(affinities.columns + e + kPrefetchDistance);
    hwy::Prefetch(affinities.values + e + kPrefetchDistance);
    FloatVector position[kDimensions];
    load_neighbors<kDimensions>(state, affinities.columns + e, position);
    auto s = one;
    for (std::size_t c = 0; c < kDimensions; ++c) {
      position[c] = hn::Sub(own[c], position[c]);
      s = hn::MulAdd(position[c], position[c], s);
    }
    const auto pull = hn::Div(hn::Load(d, affinities.values + e), s);
    for (std::size_t c = 0; c < kDimensions; ++c) sum[c] = hn::MulAdd(pull, position[c], sum[c]);
  }
}

// The gradient of the lanes' points from `first` on; of points past the last, 0.
template <std::size_t kDimensions>
HWY_INLINE void gradient_of_block(const TsneState& state, const TsneAffinities& affinities, GradientScale scale,
                                  std::size_t first, FloatVector* gradient) {
  const FloatTag d;
  const std::size_t lanes = hn::Lanes(d);
  FloatVector sums[kDimensions][kMostLanes];
  for (std::size_t r = 0; r < lanes; ++r) {
    FloatVector sum[kDimensions];
    if (first + r < state.points)
      attract_row<kDimensions>(state, affinities, first + r, sum);
    else
      for (auto& s : sum) s = hn::Zero(d);
    for (std::size_t c = 0; c < kDimensions; ++c) sums[c][r] = sum[c];
  }
  const auto exaggeration = hn::Set(d, scale.exaggeration), repulsion = hn::Set(d, scale.repulsion);
  for (std::size_t c = 0; c < kDimensions; ++c) {
    const auto pushed = hn::Mul(hn::Load(d, state.force[c] + first), repulsion);
    gradient[c] = hn::MulSub(sums_of_rows(sums[c]), exaggeration, pushed);
  }
}

template <std::size_t kDimensions>
void write_block(const TsneState& state, const TsneAffinities& affinities, GradientScale scale, std::size_t first,
                 const MatrixView<float>& out) {
  const FloatTag d;
  FloatVector gradient[kDimensions];
  gradient_of_block<kDimensions>(state, affinities, scale, first, gradient);
  HWY_ALIGN float values[kDimensions][kMostLanes];
  for (std::size_t c = 0; c < kDimensions; ++c) hn::Store(gradient[c], d, values[c]);
  for (std::size_t r = 0; r < std::min(kMostLanes, state.points - first); ++r)
    for (std::size_t c = 0; c < kDimensions; ++c) out.row(first + r)[c] = values[c][r];
}

// Gains, update and positions of the lanes' points from `first` on.
template <std::size_t kDimensions>
void step_block(const TsneState& state, const TsneAffinities& affinities, GradientScale scale, std::size_t first,
                const TsneStepArgs& args) {
  const FloatTag d;
  const auto zero = hn::Zero(d);
  FloatVector gradient[kDimensions], update[kDimensions];
  gradient_of_block<kDimensions>(state, affinities, scale, first, gradient);
  auto squared_norm = zero;
  for (std::size_t c = 0; c < kDimensions; ++c) {
    const auto g = gradient[c], u = hn::Load(d, state.update[c] + first);
    const auto both_positive = hn::Gt(hn::Min(u, g), zero), both_negative = hn::Lt(hn::Max(u, g), zero);
    const auto both_zero = hn::And(hn::Eq(u, zero), hn::Eq(g, zero));
    auto gain = hn::Load(d, state.gain[c] + first);
    gain =
        hn::IfThenElse(hn::Or(hn::Or(both_positive, both_negative), both_zero),
                       hn::MulAdd(gain, hn::Set(d, 0.8f), hn::Set(d, args.min_gain)), hn::Add(gain, hn::Set(d, 0.2f)));
    hn::Store(gain, d, state.gain[c] + first);
    const auto descent = hn::Mul(hn::Mul(hn::Set(d, args.learning_rate), gain), g);
    update[c] = hn::MulSub(hn::Set(d, args.momentum), u, descent);
    squared_norm = hn::MulAdd(update[c], update[c], squared_norm);
  }
  const auto limit = hn::Set(d, args.max_step_norm);
  const auto too_long = hn::Gt(squared_norm, hn::Mul(limit, limit));
  const auto shorten = hn::IfThenElse(too_long, hn::Div(limit, hn::Sqrt(squared_norm)), hn::Set(d, 1.0f));
  for (std::size_t c = 0; c < kDimensions; ++c) {
    const auto shortened = hn::Mul(update[c], shorten);
    hn::Store(shortened, d, state.update[c] + first);
    hn::Store(hn::Add(hn::Load(d, state.position[c] + first), shortened), d, state.position[c] + first);
  }
}

template <std::size_t kDimensions>
void write_blocks(const TsneState& state, const TsneAffinities& affinities, GradientScale scale, std::size_t first,
                  std::size_t last, const MatrixView<float>& out) {
  for (std::size_t i = first; i < last; i += hn::Lanes(FloatTag()))
    write_block<kDimensions>(state, affinities, scale, i, out);
}

template <std::size_t kDimensions>
void step_blocks(const TsneState& state, const TsneAffinities& affinities, GradientScale scale, std::size_t first,
                 std::size_t last, const TsneStepArgs& args) {
  for (std::size_t i = first; i < last; i += hn::Lanes(FloatTag()))
    step_block<kDimensions>(state, affinities, scale, i, args);
}

void write_gradient_rows(const TsneState& state, const TsneAffinities& affinities, GradientScale scale,
                         std::size_t first, std::size_t last, const MatrixView<float>& out) {
  (state.dimensions == 2 ? write_blocks<2> : write_blocks<3>)(state, affinities, scale, first, last, out);
}

void step_rows(const TsneState& state, const TsneAffinities& affinities, GradientScale scale, std::size_t first,
               std::size_t last, const TsneStepArgs& args) {
  (state.dimensions == 2 ? step_blocks<2> : step_blocks<3>)(state, affinities, scale, first, last, args);
}

}  // namespace lexiscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lexiscope::cpu {
namespace {

// body(first, last) on all points in chunks.
template <typename Body>
void for_each_chunk_of_points(const TsneState& state, const Context& context, const Body& body) {
#pragma omp parallel for schedule(dynamic, 1) num_threads(context.threads)
  for (std::size_t chunk = 0; chunk < state.chunks(); ++chunk)
    body(chunk * kTsneChunk, std::min((chunk + 1) * kTsneChunk, state.points));
}

// Takes the mean off the positions, and lays them side by side. Sums of chunks are added in the chunks' order.
void center(const TsneState& state, const Context& context) {
  for_each_chunk_of_points(state, context, [&](std::size_t first, std::size_t last) {
    for (std::size_t c = 0; c < state.dimensions; ++c) {
      double sum = 0;
      for (std::size_t i = first; i < last; ++i) sum += state.position[c][i];
      state.chunk_sums[first / kTsneChunk * 3 + c] = sum;
    }
  });
  std::array<float, 3> mean{};
  for (std::size_t c = 0; c < state.dimensions; ++c) {
    double sum = 0;
    for (std::size_t first = 0; first < state.points; first += kTsneChunk)
      sum += state.chunk_sums[first / kTsneChunk * 3 + c];
    mean[c] = static_cast<float>(sum / static_cast<double>(state.points));
  }
  for_each_chunk_of_points(state, context, [&](std::size_t first, std::size_t last) {
    for (std::size_t c = 0; c < state.dimensions; ++c)
      for (std::size_t i = first; i < last; ++i) {
        state.position[c][i] -= mean[c];
        state.interleaved[i * state.pitch() + c] = state.position[c][i];
      }
  });
}

GradientScale scale_of(float exaggeration, double normalization) {
  return {exaggeration, static_cast<float>(1 / normalization)};
}

}  // namespace

HWY_EXPORT(write_gradient_rows);
HWY_EXPORT(step_rows);

void tsne_write_gradient(const TsneState& state, const TsneAffinities& affinities, double normalization,
                         const TsneGradientArgs& args, const Context& context) {
  const auto write = HWY_DYNAMIC_DISPATCH(write_gradient_rows);
  const GradientScale scale = scale_of(args.exaggeration, normalization);
  for_each_chunk_of_points(state, context, [&](std::size_t first, std::size_t last) {
    write(state, affinities, scale, first, last, args.gradient);
  });
}

void tsne_apply_gradient(const TsneState& state, const TsneAffinities& affinities, double normalization,
                         const TsneStepArgs& args, const Context& context) {
  const auto step = HWY_DYNAMIC_DISPATCH(step_rows);
  const GradientScale scale = scale_of(args.exaggeration, normalization);
  for_each_chunk_of_points(
      state, context, [&](std::size_t first, std::size_t last) { step(state, affinities, scale, first, last, args); });
  center(state, context);
}

}  // namespace lexiscope::cpu
#endif
