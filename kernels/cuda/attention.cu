// Chooses attention's kernel, and packs inputs whose rows the kernels cannot copy 16 bytes at a time.
#include <algorithm>
#include <cstdint>
#include <string>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_launch.cuh"
#include "lexiscope/error.h"

namespace lexiscope::cuda {
namespace {

constexpr std::size_t kChunk = 8;  // elements of 16 bytes
constexpr unsigned kPackThreads = 256;

std::size_t rounded_up(std::size_t count, std::size_t to) { return (count + to - 1) / to * to; }

bool has_whole_chunks(const ConstTensorView& heads) {
  return reinterpret_cast<std::uintptr_t>(heads.data) % 16 == 0 && heads.shape[2] % kChunk == 0 &&
         heads.strides[0] % kChunk == 0 && heads.strides[1] % kChunk == 0;
}

bool fits_twice(const AttentionTile& tile, const cudaDeviceProp& device) {
  return 2 * (tile.shared_bytes() + device.reservedSharedMemPerBlock) <= device.sharedMemPerMultiprocessor;
}

// Rows of one head, dense and filled up to whole chunks.
ConstTensorView packed_view(const ConstTensorView& heads, const void* data) {
  ConstTensorView packed = heads;
  packed.data = data;
  packed.strides[1] = rounded_up(heads.shape[2], kChunk);
  packed.strides[0] = heads.shape[1] * packed.strides[1];
  return packed;
}

std::size_t packed_bytes(const ConstTensorView& heads) {
  return heads.shape[0] * heads.shape[1] * rounded_up(heads.shape[2], kChunk) * sizeof(std::uint16_t);
}

// One chunk a thread.
__global__ void __launch_bounds__(kPackThreads) attention_pack_kernel(ConstTensorView heads, std::uint16_t* packed) {
  const std::size_t chunks = (heads.shape[2] + kChunk - 1) / kChunk;
  const std::size_t at = std::size_t{blockIdx.x} * kPackThreads + threadIdx.x;
  const std::size_t row = at / chunks, column = at % chunks * kChunk;
  if (row >= heads.shape[0] * heads.shape[1]) return;
  const std::uint16_t* const from = static_cast<const std::uint16_t*>(heads.data) +
                                    row / heads.shape[1] * heads.strides[0] + row % heads.shape[1] * heads.strides[1];
  alignas(16) std::uint16_t chunk[kChunk];
#pragma unroll
  for (std::size_t i = 0; i < kChunk; ++i) chunk[i] = column + i < heads.shape[2] ? from[column + i] : 0;
  *reinterpret_cast<uint4*>(packed + at * kChunk) = *reinterpret_cast<const uint4*>(chunk);
}

ConstTensorView pack(const ConstTensorView& heads, std::byte*& workspace, cudaStream_t stream) {
  auto* const packed = reinterpret_cast<std::uint16_t*>(workspace);
  const std::size_t chunks = packed_bytes(heads) / 16;
  workspace += packed_bytes(heads);
  if (chunks > 0)
    launch("attention_pack", attention_pack_kernel,
           {.blocks = static_cast<unsigned>((chunks + kPackThreads - 1) / kPackThreads), .threads = kPackThreads},
           stream, heads, packed);
  return packed_view(heads, packed);
}

}  // namespace

AttentionConfig choose_attention_config(const AttentionArgs& args, const cudaDeviceProp& device) {
  const std::size_t heads = args.query.shape[0], queries = args.query.shape[1], head_dim = args.query.shape[2];
  const AttentionStatistics& wanted = args.statistics;
  const bool statistics = !wanted.log_sum_exp.empty() || !wanted.entropy.empty() || !wanted.maximum.empty();
  // Blocks of fewer queries where those of the most would leave processors idle.
  const bool few = heads * rounded_up(queries, 128) / 128 < 2 * static_cast<std::size_t>(device.multiProcessorCount);
  const AttentionVariant* chosen = nullptr;
  for (const AttentionVariant& variant : kAttentionVariants) {
    const bool fits = static_cast<std::size_t>(variant.tile.head_dim) >= head_dim &&
                      variant.padding == !args.key_padding.empty() && (variant.statistics || !statistics) &&
                      10 * device.major + device.minor >= variant.capability && fits_twice(variant.tile, device);
    if (!fits || (chosen && chosen->tile.head_dim < variant.tile.head_dim)) continue;
    if (!chosen || (few && variant.tile.row_tiles < chosen->tile.row_tiles)) chosen = &variant;
  }
  if (!chosen)
    throw Error(ErrorCode::kUnsupported, "attention: no kernel for head size " + std::to_string(head_dim) + " on " +
                                             device.name + ": at most " + std::to_string(kAttentionMaxHeadDim));
  const bool apart = args.key.strides[0] != args.value.strides[0] || args.key.strides[1] != args.value.strides[1];
  return {
      .variant = *chosen,
      .pack = apart || !has_whole_chunks(args.query) || !has_whole_chunks(args.key) || !has_whole_chunks(args.value)};
}

std::size_t attention_workspace(const AttentionArgs& args, const AttentionConfig& config) {
  return config.pack ? packed_bytes(args.query) + packed_bytes(args.key) + packed_bytes(args.value) : 0;
}

void attention(const AttentionArgs& args, const AttentionConfig& config, void* workspace, cudaStream_t stream) {
  AttentionArgs ready = args;
  if (config.pack) {
    auto* room = static_cast<std::byte*>(workspace);
    ready.query = pack(args.query, room, stream);
    ready.key = pack(args.key, room, stream);
    ready.value = pack(args.value, room, stream);
  }
  const auto launch_kernel = args.query.dtype == DType::f16 ? launch_attention_f16 : launch_attention_bf16;
  launch_kernel(ready, config.variant, stream);
}

}  // namespace lexiscope::cuda
