#include "kernels/cuda/block_sum.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/tsne_map.h"
#include "kernels/cuda/tsne_normalization.h"

namespace lexiscope::cuda {
namespace {

constexpr unsigned kThreads = 256;
constexpr unsigned kOneBlockThreads = 1024;  // of kernels of one block, which read what other blocks left

unsigned blocks_for(std::size_t threads) { return static_cast<unsigned>((threads + kThreads - 1) / kThreads); }

__device__ bool all_finite(const float* values, unsigned count) {
  bool finite = true;
  for (unsigned c = 0; c < count; ++c) finite = finite && isfinite(values[c]);
  return finite;
}

// The largest of the block's values in thread 0, and of its negatives.
struct Extremes {
  int high, low;
};
struct ExtremesShared {
  Extremes of_warp[kOneBlockThreads / kWarpSize];
};
__device__ Extremes block_extremes(Extremes own, ExtremesShared& shared) {
  own = {__reduce_max_sync(kWholeWarp, own.high), __reduce_max_sync(kWholeWarp, own.low)};
  if (threadIdx.x % kWarpSize == 0) shared.of_warp[threadIdx.x / kWarpSize] = own;
  __syncthreads();
  if (threadIdx.x == 0)
    for (unsigned warp = 1; warp < blockDim.x / kWarpSize; ++warp) {
      own.high = max(own.high, shared.of_warp[warp].high);
      own.low = max(own.low, shared.of_warp[warp].low);
    }
  return own;
}

struct ImportArgs {
  const float *positions, *update, *gains;  // the last two may be null
};
struct ImportShared {
  ExtremesShared extremes[3];
};

// A block has the points of one partial sum.
template <unsigned kDimensions>
__global__ void __launch_bounds__(TsneState::kBlockPoints) import_kernel(TsneState state, ImportArgs args) {
  const unsigned i = blockIdx.x * TsneState::kBlockPoints + threadIdx.x;
  const bool inside = i < state.points;
  TsnePoint<kDimensions> point{};
  if (inside) {
    const std::size_t first = std::size_t{i} * kDimensions;
    unsigned faults = 0;
    for (unsigned c = 0; c < kDimensions; ++c) {
      point.at[c] = args.positions[first + c];
      if (!(fabsf(point.at[c]) <= kTsneFarthest)) faults = kTsnePositionsFault;  // NaN too
    }
    state.positions<kDimensions>()[i] = point;
    if (args.update) {
      if (!all_finite(args.update + first, kDimensions)) faults |= kTsneUpdateFault;
      if (!all_finite(args.gains + first, kDimensions)) faults |= kTsneGainsFault;
      for (unsigned c = 0; c < kDimensions; ++c) {
        state.update[first + c] = args.update[first + c];
        state.gain[first + c] = args.gains[first + c];
      }
    }
    if (faults) atomicOr(&state.status->faults, faults);
  }
  auto& shared = shared_memory<ImportShared>();
  for (unsigned c = 0; c < kDimensions; ++c) {
    const Extremes own{inside ? ordered(point.at[c]) : kLeastOrdered, inside ? ordered(-point.at[c]) : kLeastOrdered};
    const Extremes found = block_extremes(own, shared.extremes[c]);
    if (threadIdx.x != 0) continue;
    state.highs[c * state.partials() + blockIdx.x] = found.high;
    state.lows[c * state.partials() + blockIdx.x] = found.low;
  }
}

__device__ void activate(TsneStatus& status, const TsneConfig& config) {
  status.active = status.faults == 0 && status.wanted.method != TsneMethod::none && status.wanted == config;
}

struct BoxShared {
  ExtremesShared extremes[3];
  BlockSumShared sums[3];
};

// One block: the box around the map, less its mean where it has moved, and the repulsion that it wants.
__global__ void __launch_bounds__(kOneBlockThreads)
    box_kernel(TsneState state, bool moved, Repulsion allowed, TsneConfig config) {
  TsneStatus& status = *state.status;
  if (moved && !status.active) {
    if (threadIdx.x == 0) status.moved = 0;
    return;
  }
  auto& shared = shared_memory<BoxShared>();
  const unsigned partials = state.partials();
  double sides[3] = {};
  for (unsigned c = 0; c < state.dimensions; ++c) {
    Extremes own{kLeastOrdered, kLeastOrdered};
    double sum = 0;
    for (unsigned b = threadIdx.x; b < partials; b += kOneBlockThreads) {
      own = {max(own.high, state.highs[c * partials + b]), max(own.low, state.lows[c * partials + b])};
      if (moved) sum += state.sums[c * partials + b];
    }
    own = block_extremes(own, shared.extremes[c]);
    sum = block_sum(sum, shared.sums[c]);
    if (threadIdx.x != 0) continue;
    const float mean = moved ? static_cast<float>(sum / state.points) : 0.0f;
    status.mean[c] = mean;
    status.high[c] = from_ordered(own.high) - mean;
    status.low[c] = -from_ordered(own.low) - mean;
    sides[c] = static_cast<double>(status.high[c]) - status.low[c];
  }
  if (threadIdx.x != 0) return;
  status.moved = moved;
  status.iterations += moved ? 1 : 0;
  status.wanted = choose_tsne_config(state.points, state.dimensions, sides, allowed);
  activate(status, config);
}

__global__ void activate_kernel(TsneState state, TsneConfig config) { activate(*state.status, config); }

template <unsigned kDimensions>
__global__ void __launch_bounds__(kThreads) center_kernel(TsneState state) {
  const unsigned i = blockIdx.x * kThreads + threadIdx.x;
  if (i >= state.points || !state.status->moved) return;
  auto point = reinterpret_cast<const TsnePoint<kDimensions>*>(state.moved)[i];
  for (unsigned c = 0; c < kDimensions; ++c) point.at[c] -= state.status->mean[c];
  state.positions<kDimensions>()[i] = point;
}

template <unsigned kDimensions>
__global__ void __launch_bounds__(kThreads)
    export_kernel(TsneState state, float* positions, float* update, float* gains) {
  const unsigned i = blockIdx.x * kThreads + threadIdx.x;
  if (i >= state.points) return;
  const TsnePoint<kDimensions> point = state.positions<kDimensions>()[i];
  for (unsigned c = 0; c < kDimensions; ++c) {
    const std::size_t at = std::size_t{i} * kDimensions + c;
    positions[at] = point.at[c];
    update[at] = state.update[at];
    gains[at] = state.gain[at];
  }
}

struct NormalizationShared {
  BlockSumShared sum;
};

__global__ void __launch_bounds__(kOneBlockThreads)
    normalization_kernel(TsneState state, TsneShares shares, double offset) {
  if (!state.status->active) return;
  double sum = 0;
  for (std::size_t k = threadIdx.x; k < shares.count; k += kOneBlockThreads) sum += shares.values[k];
  sum = block_sum(sum, shared_memory<NormalizationShared>().sum) + offset;
  if (threadIdx.x != 0) return;
  state.status->normalization = sum;
  state.status->repulsion_scale = static_cast<float>(1 / sum);
}

void find_box(const TsneState& state, bool moved, Repulsion allowed, const TsneConfig& config, cudaStream_t stream) {
  launch("tsne_box", box_kernel, {.blocks = 1, .threads = kOneBlockThreads, .shared_bytes = sizeof(BoxShared)}, stream,
         state, moved, allowed, config);
}

}  // namespace

void tsne_import(const TsneState& state, const float* positions, const float* update, const float* gains,
                 Repulsion allowed, const TsneConfig& config, cudaStream_t stream) {
  launch("tsne_import", state.dimensions == 2 ? import_kernel<2> : import_kernel<3>,
         {.blocks = state.partials(), .threads = TsneState::kBlockPoints, .shared_bytes = sizeof(ImportShared)}, stream,
         state, ImportArgs{positions, update, gains});
  find_box(state, false, allowed, config, stream);
}

void tsne_activate(const TsneState& state, const TsneConfig& config, cudaStream_t stream) {
  launch("tsne_activate", activate_kernel, {.blocks = 1, .threads = 1}, stream, state, config);
}

void tsne_finish_iteration(const TsneState& state, Repulsion allowed, const TsneConfig& config, cudaStream_t stream) {
  find_box(state, true, allowed, config, stream);
  launch("tsne_center", state.dimensions == 2 ? center_kernel<2> : center_kernel<3>,
         {.blocks = blocks_for(state.points), .threads = kThreads}, stream, state);
}

void tsne_export(const TsneState& state, float* positions, float* update, float* gains, cudaStream_t stream) {
  launch("tsne_export", state.dimensions == 2 ? export_kernel<2> : export_kernel<3>,
         {.blocks = blocks_for(state.points), .threads = kThreads}, stream, state, positions, update, gains);
}

void tsne_normalization(const TsneState& state, const TsneShares& shares, double offset, cudaStream_t stream) {
  launch("tsne_normalization", normalization_kernel,
         {.blocks = 1, .threads = kOneBlockThreads, .shared_bytes = sizeof(NormalizationShared)}, stream, state, shares,
         offset);
}

}  // namespace lexiscope::cuda
