// Enqueues attention: packs inputs whose rows the kernels cannot copy 16 bytes at a time, then launches the variant.
#include <cstddef>
#include <cstdint>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_launch.cuh"
#include "kernels/cuda/pack.h"

namespace lexiscope::cuda {
namespace {

constexpr std::size_t kChunk = 8;  // elements of 16 bytes
constexpr unsigned kPackThreads = 256;

std::size_t rounded_up(std::size_t count, std::size_t to) { return (count + to - 1) / to * to; }

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
  Pack<std::uint16_t, kChunk> chunk;
#pragma unroll
  for (std::size_t i = 0; i < kChunk; ++i) chunk.values[i] = column + i < heads.shape[2] ? from[column + i] : 0;
  store_pack(packed + at * kChunk, chunk);
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
