// Drift: a warp passes over a token's two rows once and sums four products in double. So no element is too large and a
// difference of near-equal ones is exact enough. Where double is slow (two operations a cycle on a multiprocessor) its
// seven operations for 8 bytes, not memory, set the pace.
#include <algorithm>

#include "kernels/cuda/drift.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/pack.h"
#include "kernels/cuda/warp.h"

namespace lexiscope::cuda {
namespace {

constexpr unsigned kMostThreads = 256;

struct DriftSums {
  double moved, before, after, dot;  // of (b - a)^2, a^2, b^2 and a b
};

template <unsigned kWidth>
__device__ DriftSums drift_sums(const float* before, const float* after, std::size_t d) {
  DriftSums sums{};
  for (std::size_t column = threadIdx.x % kWarpSize * kWidth; column < d; column += kWarpSize * kWidth) {
    const auto from = load_pack<kWidth>(before + column), to = load_pack<kWidth>(after + column);
#pragma unroll
    for (unsigned k = 0; k < kWidth; ++k) {
      const double a = from.values[k], b = to.values[k], step = b - a;
      sums.moved = fma(step, step, sums.moved);
      sums.before = fma(a, a, sums.before);
      sums.after = fma(b, b, sums.after);
      sums.dot = fma(a, b, sums.dot);
    }
  }
  return {warp_sum(sums.moved), warp_sum(sums.before), warp_sum(sums.after), warp_sum(sums.dot)};
}

__device__ double relative_step(const DriftSums& sums) {
  if (sums.before == 0) return sums.after == 0 ? 0 : HUGE_VAL;
  return sqrt(sums.moved / sums.before);
}

__device__ double cosine(const DriftSums& sums) {
  if (sums.before == 0 || sums.after == 0) return 0;
  const double value = sums.dot / sqrt(sums.before * sums.after);
  return value > 1 ? 1 : value < -1 ? -1 : value;
}

template <unsigned kWidth>
__global__ void __launch_bounds__(kMostThreads) drift_kernel(DriftArgs args) {
  const std::size_t t = std::size_t{blockIdx.x} * (blockDim.x / kWarpSize) + threadIdx.x / kWarpSize;
  if (t >= args.before.rows) return;  // a whole warp leaves together
  const DriftSums sums = drift_sums<kWidth>(args.before.row(t), args.after.row(t), args.before.columns);
  if (threadIdx.x % kWarpSize != 0) return;
  if (!args.norm.empty()) args.norm[t] = static_cast<float>(sqrt(sums.moved));
  if (!args.relative.empty()) args.relative[t] = static_cast<float>(relative_step(sums));
  if (!args.cosine.empty()) args.cosine[t] = static_cast<float>(cosine(sums));
}

}  // namespace

DriftConfig choose_drift_config(const DriftArgs& args, const cudaDeviceProp& device) {
  const bool wide = args.before.columns % 4 == 0 && rows_hold_packs<4>(args.before.data, args.before.stride) &&
                    rows_hold_packs<4>(args.after.data, args.after.stride);
  // Few tokens are spread over the multiprocessors; of many, a block has several.
  const auto processors = static_cast<std::size_t>(device.multiProcessorCount);
  const auto warps = std::clamp<std::size_t>(args.before.rows / processors, 1, kMostThreads / kWarpSize);
  return {.threads = static_cast<unsigned>(warps) * kWarpSize, .vector_width = wide ? 4u : 1u};
}

void drift(const DriftArgs& args, const DriftConfig& config, cudaStream_t stream) {
  const std::size_t warps = config.threads / kWarpSize;
  launch("drift", config.vector_width == 4 ? drift_kernel<4> : drift_kernel<1>,
         {.blocks = static_cast<unsigned>((args.before.rows + warps - 1) / warps), .threads = config.threads}, stream,
         args);
}

}  // namespace lexiscope::cuda
