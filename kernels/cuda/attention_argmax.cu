// A block owns 64 queries of one head and streams the keys past them; a thread remembers the best of its own columns,
// and the four threads that share a row compare at the end.
#include <cmath>

#include "kernels/cuda/attention_argmax.h"
#include "kernels/cuda/attention_rows.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/warp.h"

namespace lexiscope::cuda {
namespace {

struct AttentionArgmaxShared {
  PanelPair ring[2];
};

struct Best {
  float score = -INFINITY;
  int key = -1;

  __device__ void see(float other, int other_key) {  // keys that see() is shown by one thread ascend
    if (other > score) score = other, key = other_key;
  }
  __device__ void combine(unsigned lanes) {
    const float other = __shfl_xor_sync(kWholeWarp, score, lanes);
    const int other_key = __shfl_xor_sync(kWholeWarp, key, lanes);
    if (other > score || (other == score && other_key < key)) score = other, key = other_key;
  }
};

template <typename Element, bool kAligned>
__global__ void __launch_bounds__(kTileThreads) attention_argmax_kernel(const AttentionArgs args) {
  auto& shared = shared_memory<AttentionArgmaxShared>();
  const Visibility sees(args);
  const unsigned block = sees.causal ? gridDim.x - 1 - blockIdx.x : blockIdx.x;  // the longest first
  const unsigned first_query = block * kTile, last_query = min(first_query + kTile, sees.queries) - 1;
  const std::size_t head = blockIdx.y;
  using Product = TileProduct<Element>;

  Best best[2];  // of the thread's two rows
  for_each_tile<kAligned>(
      shared.ring, rows_of<Element>(args.query, head), rows_of<Element>(args.key, key_head_of(args, head)),
      (sees.keys_seen_to(last_query) + kTile - 1) / kTile,
      [&](unsigned n) {
        return TileOrigin{first_query, n * kTile};
      },
      [&](const TileOrigin& origin, const Products& products) {
#pragma unroll
        for (unsigned i = 0; i < 8; ++i)
#pragma unroll
          for (unsigned k = 0; k < 4; ++k) {
            const unsigned key = origin.column + Product::column(i, k);
            if (sees(origin.row + Product::row(i, k), key))
              best[k / 2].see(products[i][k] * args.scale, static_cast<int>(key));
          }
      });

#pragma unroll
  for (unsigned k = 0; k < 4; k += 2) {
    best[k / 2].combine(1);
    best[k / 2].combine(2);
    const unsigned query = first_query + Product::row(0, k);
    if (threadIdx.x % 4 == 0 && query <= last_query) args.statistics.argmax.row(head)[query] = best[k / 2].key;
  }
}

template <typename Element>
void launch_for(const AttentionArgs& args, const AttentionArgmaxConfig& config, cudaStream_t stream) {
  const auto kernel = config.aligned ? attention_argmax_kernel<Element, true> : attention_argmax_kernel<Element, false>;
  const auto tiles = static_cast<unsigned>((args.query.shape[1] + kTile - 1) / kTile);
  launch("attention_argmax", kernel,
         {.blocks = dim3(tiles, static_cast<unsigned>(args.query.shape[0])),
          .threads = kTileThreads,
          .shared_bytes = sizeof(AttentionArgmaxShared)},
         stream, args);
}

}  // namespace

AttentionArgmaxConfig choose_attention_argmax_config(const AttentionArgs& args) {
  return {.aligned = has_aligned_rows(args.query) && has_aligned_rows(args.key)};
}

void attention_argmax(const AttentionArgs& args, const AttentionArgmaxConfig& config, cudaStream_t stream) {
  if (args.query.shape[0] == 0 || args.query.shape[1] == 0) return;
  if (args.query.dtype == DType::bf16)
    launch_for<__nv_bfloat16>(args, config, stream);
  else
    launch_for<__half>(args, config, stream);
}

}  // namespace lexiscope::cuda
