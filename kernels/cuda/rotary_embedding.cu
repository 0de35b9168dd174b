// The rotary embedding, in place: a thread loads the cosines and sines of its pairs once and turns those pairs of one
// head after another.
#include <algorithm>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/pack.h"
#include "kernels/cuda/rotary_embedding.h"

namespace lexiscope::cuda {
namespace {

constexpr unsigned kThreads = 128;

// Product, product and sum: a cos - b sin in both halves alike, fused the same way whatever the layout.
template <unsigned kWidth>
__device__ void turn(Pack<float, kWidth>& a, Pack<float, kWidth>& b, const Pack<float, kWidth>& cosine,
                     const Pack<float, kWidth>& sine) {
#pragma unroll
  for (unsigned k = 0; k < kWidth; ++k) {
    const float first = fmaf(a.values[k], cosine.values[k], -(b.values[k] * sine.values[k]));
    b.values[k] = fmaf(b.values[k], cosine.values[k], a.values[k] * sine.values[k]);
    a.values[k] = first;
  }
}

template <unsigned kWidth>
__device__ void turn_halves(float* head, std::size_t pairs, const Pack<float, kWidth>& cosine,
                            const Pack<float, kWidth>& sine) {
  auto a = load_pack<kWidth>(head), b = load_pack<kWidth>(head + pairs);
  turn(a, b, cosine, sine);
  store_pack(head, a);
  store_pack(head + pairs, b);
}

// Two packs side by side hold kWidth pairs.
template <unsigned kWidth>
__device__ void turn_interleaved(float* head, const Pack<float, kWidth>& cosine, const Pack<float, kWidth>& sine) {
  float values[2 * kWidth];
#pragma unroll
  for (unsigned p = 0; p < 2; ++p) {
    const auto pack = load_pack<kWidth>(head + p * kWidth);
    for (unsigned k = 0; k < kWidth; ++k) values[p * kWidth + k] = pack.values[k];
  }
  Pack<float, kWidth> a, b;
#pragma unroll
  for (unsigned k = 0; k < kWidth; ++k) {
    a.values[k] = values[2 * k];
    b.values[k] = values[2 * k + 1];
  }
  turn(a, b, cosine, sine);
#pragma unroll
  for (unsigned p = 0; p < 2; ++p) {
    Pack<float, kWidth> pack;
    for (unsigned k = 0; k < kWidth; ++k) pack.values[k] = ((p * kWidth + k) % 2 ? b : a).values[(p * kWidth + k) / 2];
    store_pack(head + p * kWidth, pack);
  }
}

// blockIdx.x counts blocks of packs of pairs, over all tokens; blockIdx.y steps of heads.
template <unsigned kWidth>
__global__ void __launch_bounds__(kThreads) rotary_embedding_kernel(RotaryEmbeddingArgs args, unsigned heads_per_step) {
  const std::size_t packs = args.cosine.columns / kWidth, at = std::size_t{blockIdx.x} * kThreads + threadIdx.x;
  const std::size_t t = at / packs, pair = at % packs * kWidth;
  if (t >= args.x.rows) return;
  const auto cosine = load_pack<kWidth>(args.cosine.row(t) + pair), sine = load_pack<kWidth>(args.sine.row(t) + pair);
  const std::size_t head_size = args.x.columns / args.heads;
  const std::size_t first = std::size_t{blockIdx.y} * heads_per_step,
                    last = std::min(first + heads_per_step, args.heads);
  float* head = args.x.row(t) + first * head_size;
  for (std::size_t h = first; h < last; ++h, head += head_size)
    if (args.layout == RotaryLayout::halves)
      turn_halves(head + pair, args.cosine.columns, cosine, sine);
    else
      turn_interleaved(head + 2 * pair, cosine, sine);
}

}  // namespace

RotaryEmbeddingConfig choose_rotary_embedding_config(const RotaryEmbeddingArgs& args, const cudaDeviceProp& device) {
  const bool wide = args.cosine.columns % 4 == 0 && args.x.columns / args.heads % 4 == 0 &&
                    rows_hold_packs<4>(args.x.data, args.x.stride) &&
                    rows_hold_packs<4>(args.cosine.data, args.cosine.stride) &&
                    rows_hold_packs<4>(args.sine.data, args.sine.stride);
  const unsigned width = wide ? 4 : 1;
  // A thread takes as many heads as leave every multiprocessor its threads.
  const std::size_t enough = static_cast<std::size_t>(device.multiProcessorCount) * device.maxThreadsPerMultiProcessor;
  const std::size_t threads = args.x.rows * (args.cosine.columns / width);
  const std::size_t heads = std::clamp<std::size_t>(threads * args.heads / enough, 1, args.heads);
  const std::size_t steps = std::min<std::size_t>((args.heads + heads - 1) / heads, 65'535);
  return {.vector_width = width, .heads_per_step = static_cast<unsigned>((args.heads + steps - 1) / steps)};
}

void rotary_embedding(const RotaryEmbeddingArgs& args, const RotaryEmbeddingConfig& config, cudaStream_t stream) {
  if (args.cosine.columns == 0) return;
  const std::size_t threads = args.x.rows * (args.cosine.columns / config.vector_width);
  const std::size_t steps = (args.heads + config.heads_per_step - 1) / config.heads_per_step;
  launch("rotary_embedding", config.vector_width == 4 ? rotary_embedding_kernel<4> : rotary_embedding_kernel<1>,
         {.blocks = dim3(static_cast<unsigned>((threads + kThreads - 1) / kThreads), static_cast<unsigned>(steps)),
          .threads = kThreads},
         stream, args, config.heads_per_step);
}

}  // namespace lexiscope::cuda
