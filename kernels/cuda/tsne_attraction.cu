// A warp sums a row at a time, eight in all; then its lanes are four to a row, one a coordinate, and do what follows.
// What a row reads are its neighbours' positions, a sector of the second-level cache each. Points that lie side by side
// on the map share neighbours: where their rows are taken by one multiprocessor at about the same time, much of what
// they read is in its first-level cache.
#include "kernels/cuda/instructions.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/tsne_attraction.h"
#include "kernels/cuda/warp.h"

namespace lexiscope::cuda {
namespace {

constexpr unsigned kLanesPerRow = 4;
constexpr unsigned kRowsPerWarp = kWarpSize / kLanesPerRow;
constexpr unsigned kWarps = TsneState::kBlockPoints / kRowsPerWarp;
constexpr unsigned kThreads = kWarps * kWarpSize;
// Of a multiprocessor: 40 registers a thread hold all that a row needs.
[[maybe_unused]] constexpr unsigned kBlocks = 2;

// sum_j p_ij q_ij (y_i - y_j), the same in all lanes.
template <unsigned kDimensions>
__device__ TsnePoint<kDimensions> attract_row(const TsneState& state, const TsneAffinities& affinities, unsigned i) {
  const TsnePoint<kDimensions>* const position = state.positions<kDimensions>();
  const TsnePoint<kDimensions> own = position[i];
  const std::int64_t last = affinities.row_offsets[i + 1];
  TsnePoint<kDimensions> sum{};
#pragma unroll(kDimensions == 2 ? 4 : 2)
  for (std::int64_t e = affinities.row_offsets[i] + threadIdx.x % kWarpSize; e < last; e += kWarpSize) {
    const TsneEdge edge = affinities.edges[e];
    const TsnePoint<kDimensions> other = position[edge.column];
    float difference[kDimensions], s = 1;
#pragma unroll
    for (unsigned c = 0; c < kDimensions; ++c) {
      difference[c] = own.at[c] - other.at[c];
      s = fmaf(difference[c], difference[c], s);
    }
    const float pull = edge.value * reciprocal_approx(s);
#pragma unroll
    for (unsigned c = 0; c < kDimensions; ++c) sum.at[c] = fmaf(pull, difference[c], sum.at[c]);
  }
#pragma unroll
  for (unsigned c = 0; c < kDimensions; ++c) sum.at[c] = warp_sum(sum.at[c]);
  return sum;
}

// The lanes' places in a warp's eight rows: those of a block's warps lie between each other, so that the warps are at
// neighbouring rows at the same time. Without an order, rows are taken by their numbers.
template <unsigned kDimensions>
struct Place {
  unsigned first, row = 0, axis;
  bool inside, used;

  __device__ Place(unsigned points, const unsigned* order)
      : first(blockIdx.x * TsneState::kBlockPoints + threadIdx.x / kWarpSize), axis(threadIdx.x % kLanesPerRow) {
    const unsigned own = first + threadIdx.x % kWarpSize / kLanesPerRow * kWarps;
    inside = own < points;
    used = inside && axis < kDimensions;
    if (inside) row = order ? order[own] : own;
  }
  __device__ std::size_t dense() const { return std::size_t{row} * kDimensions + axis; }
  __device__ std::size_t padded() const { return std::size_t{row} * TsnePoint<kDimensions>::kPitch + axis; }
};

// The gradient's coordinate that belongs to this lane; 0 where it has none.
template <unsigned kDimensions>
__device__ float lane_gradient(const TsneState& state, const TsneAffinities& affinities,
                               const Place<kDimensions>& place) {
  float pulled = 0;
  for (unsigned r = 0; r < kRowsPerWarp && place.first + r * kWarps < state.points; ++r) {
    const auto sum = attract_row<kDimensions>(state, affinities, __shfl_sync(kWholeWarp, place.row, r * kLanesPerRow));
#pragma unroll
    for (unsigned c = 0; c < kDimensions; ++c)
      if (threadIdx.x % kWarpSize == r * kLanesPerRow + c) pulled = sum.at[c];
  }
  if (!place.used) return 0;
  return fmaf(state.status->parameters.exaggeration, pulled,
              -state.force[place.padded()] * state.status->repulsion_scale);
}

template <unsigned kDimensions>
__global__ void __launch_bounds__(kThreads, kBlocks)
    gradient_kernel(TsneState state, TsneAffinities affinities, float* gradient) {
  if (!state.status->active) return;
  const Place<kDimensions> place(state.points, nullptr);
  const float value = lane_gradient(state, affinities, place);
  if (place.used) gradient[place.dense()] = value;
}

__device__ bool same_sign(float a, float b) { return (a > 0 && b > 0) || (a < 0 && b < 0) || (a == 0 && b == 0); }

// The sum over the four lanes of a row.
__device__ float row_sum(float value) {
  value += __shfl_xor_sync(kWholeWarp, value, 1);
  return value + __shfl_xor_sync(kWholeWarp, value, 2);
}

// What a coordinate of a warp's rows adds to the map's mean and box.
struct Partial {
  double sum;
  int high, low;
};
struct StepShared {
  Partial partial[kWarps][kLanesPerRow];
};

__device__ void combine(Partial& own, double sum, int high, int low) {
  own = {own.sum + sum, max(own.high, high), max(own.low, low)};
}

// The partial sums of this block's rows, in the order of its warps.
template <unsigned kDimensions>
__device__ void store_partials(const TsneState& state, bool used, float moved, StepShared& shared) {
  Partial own{used ? moved : 0.0, used ? ordered(moved) : kLeastOrdered, used ? ordered(-moved) : kLeastOrdered};
#pragma unroll
  for (unsigned offset = kLanesPerRow; offset < kWarpSize; offset *= 2)
    combine(own, __shfl_xor_sync(kWholeWarp, own.sum, offset), __shfl_xor_sync(kWholeWarp, own.high, offset),
            __shfl_xor_sync(kWholeWarp, own.low, offset));
  if (threadIdx.x % kWarpSize < kLanesPerRow) shared.partial[threadIdx.x / kWarpSize][threadIdx.x % kWarpSize] = own;
  __syncthreads();
  if (threadIdx.x >= kDimensions) return;
  for (unsigned warp = 1; warp < kWarps; ++warp) {
    const Partial& other = shared.partial[warp][threadIdx.x];
    combine(own, other.sum, other.high, other.low);
  }
  const std::size_t at = std::size_t{threadIdx.x} * state.partials() + blockIdx.x;
  state.sums[at] = own.sum;
  state.highs[at] = own.high;
  state.lows[at] = own.low;
}

template <unsigned kDimensions>
__global__ void __launch_bounds__(kThreads, kBlocks)
    step_kernel(TsneState state, TsneAffinities affinities, const unsigned* order) {
  if (!state.status->active) return;
  const TsneParameters parameters = state.status->parameters;
  const Place<kDimensions> place(state.points, order);
  const float gradient = lane_gradient(state, affinities, place);
  float update = 0, moved = 0;
  if (place.used) {
    const float before = state.update[place.dense()];
    float gain = state.gain[place.dense()];
    gain = same_sign(before, gradient) ? fmaf(gain, 0.8f, parameters.min_gain) : gain + 0.2f;
    state.gain[place.dense()] = gain;
    update = fmaf(parameters.momentum, before, -(parameters.learning_rate * gain * gradient));
  }
  const float squared_norm = row_sum(update * update), limit = parameters.max_step_norm;
  if (squared_norm > limit * limit) update *= limit / sqrtf(squared_norm);
  if (place.used) {
    moved = state.position[place.padded()] + update;
    state.update[place.dense()] = update;
    state.moved[place.padded()] = moved;
  } else if (place.inside && place.axis < TsnePoint<kDimensions>::kPitch) {
    state.moved[place.padded()] = 0;
  }
  store_partials<kDimensions>(state, place.used, moved, shared_memory<StepShared>());
}

}  // namespace

void tsne_write_gradient(const TsneState& state, const TsneAffinities& affinities, float* gradient,
                         cudaStream_t stream) {
  launch("tsne_gradient", state.dimensions == 2 ? gradient_kernel<2> : gradient_kernel<3>,
         {.blocks = state.partials(), .threads = kThreads}, stream, state, affinities, gradient);
}

void tsne_step_points(const TsneState& state, const TsneAffinities& affinities, const unsigned* order,
                      cudaStream_t stream) {
  launch("tsne_step", state.dimensions == 2 ? step_kernel<2> : step_kernel<3>,
         {.blocks = state.partials(), .threads = kThreads, .shared_bytes = sizeof(StepShared)}, stream, state,
         affinities, order);
}

}  // namespace lexiscope::cuda
