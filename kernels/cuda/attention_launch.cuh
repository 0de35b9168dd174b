// Launches attention's kernels for one element type, which a source file of its own instantiates.
#pragma once

#include <cstddef>
#include <iterator>
#include <utility>

#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/launch.h"

namespace lexiscope::cuda {

void launch_attention_bf16(const AttentionArgs& args, const AttentionVariant& variant, cudaStream_t stream);
void launch_attention_f16(const AttentionArgs& args, const AttentionVariant& variant, cudaStream_t stream);

template <typename Element, AttentionVariant kVariant>
void launch_variant(const AttentionArgs& args, cudaStream_t stream) {
  constexpr AttentionTile kTile = kVariant.tile;
  const std::size_t heads = args.query.shape[0], queries = args.query.shape[1];
  const auto planes = static_cast<unsigned>((heads + kHeadsAPlane - 1) / kHeadsAPlane);
  const dim3 blocks(static_cast<unsigned>((queries + kTile.rows() - 1) / kTile.rows()),
                    static_cast<unsigned>(heads < kHeadsAPlane ? heads : kHeadsAPlane), planes);
  const auto kernel =
      attention_kernel<kTile.head_dim, kTile.row_tiles, kTile.keys, kTile.stages, kTile.query_in_registers,
                       kVariant.padding, kVariant.statistics, kVariant.from, kVariant.below, Element>;
  launch("attention", kernel,
         {.blocks = blocks, .threads = 32 * kAttentionWarps, .shared_bytes = sizeof(AttentionShared<kTile>)}, stream,
         args);
}

template <typename Element, std::size_t... kIndices>
void launch_one_of(const AttentionArgs& args, const AttentionVariant& variant, cudaStream_t stream,
                   std::index_sequence<kIndices...>) {
  static_cast<void>(((kAttentionVariants[kIndices] == variant &&
                      (launch_variant<Element, kAttentionVariants[kIndices]>(args, stream), true)) ||
                     ...));
}

template <typename Element>
void launch_attention(const AttentionArgs& args, const AttentionVariant& variant, cudaStream_t stream) {
  launch_one_of<Element>(args, variant, stream, std::make_index_sequence<std::size(kAttentionVariants)>());
}

}  // namespace lexiscope::cuda
