// The kernels that attention is compiled for, as plain numbers, and which of them a shape and a device take.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "lexiscope/error.h"
#include "lexiscope/ops/attention.h"

namespace lexiscope::cuda {

inline constexpr int kAttentionWarps = 4;  ///< of a block; two blocks at least fit a multiprocessor

/// What one block of threads works on: `rows()` queries of one head, past which keys and values stream, `keys` at a
/// time.
struct AttentionTile {
  int head_dim;             ///< a multiple of 32; columns from d_k on are 0
  int row_tiles;            ///< tiles of 16 queries a warp; a fragment of the keys read once feeds as many products
  int keys;                 ///< a multiple of 16; of 32, or 16 itself, where keys may be padding
  int stages;               ///< blocks of keys and values in shared memory; with 1, keys and values take turns
  bool query_in_registers;  ///< or read again from shared memory for each block of keys, which frees registers

  constexpr int rows() const { return kAttentionWarps * row_tiles * 16; }
  constexpr int shared_bytes() const { return (rows() + 2 * stages * keys) * head_dim * 2; }
  constexpr bool operator==(const AttentionTile&) const = default;
};

struct AttentionVariant {
  AttentionTile tile;
  bool padding;                ///< asks of each key whether it is padding
  bool statistics;             ///< gives the log-sum-exp, entropy and maximum of each row
  int from = 0, below = 1000;  ///< ten times the compute capabilities that take it
  constexpr bool operator==(const AttentionVariant&) const = default;
};

/// Those of one head size in the order they are tried. scripts/sass_report.py models the speed of each.
inline constexpr AttentionVariant kAttentionVariants[] = {
    // head_dim, row_tiles, keys, stages, query_in_registers; padding, statistics, from, below
    {{32, 2, 64, 2, true}, false, true},      {{32, 2, 64, 2, true}, true, true},
    {{64, 2, 64, 3, true}, false, false, 90}, {{64, 2, 64, 2, true}, false, false},
    {{64, 2, 64, 2, true}, false, true, 90},  {{64, 2, 64, 2, false}, false, true},
    {{64, 1, 64, 2, true}, false, true},      {{64, 2, 64, 2, true}, true, true},
    {{96, 2, 32, 2, false}, false, true},     {{96, 2, 32, 2, false}, true, true},
    {{128, 2, 48, 2, false}, false, false},   {{128, 2, 32, 2, false}, false, true, 0, 100},
    {{128, 2, 32, 1, false}, false, true},    {{128, 1, 32, 2, false}, false, true},
    {{128, 2, 32, 1, false}, true, true},     {{192, 1, 32, 1, false}, false, true},
    {{192, 1, 32, 1, false}, true, true},     {{256, 1, 32, 1, false}, false, true},
    {{256, 1, 16, 1, false}, false, true},    {{256, 1, 32, 1, false}, true, true},
    {{256, 1, 16, 1, false}, true, true},
};
inline constexpr int kAttentionMaxHeadDim = 256;

struct AttentionConfig {
  AttentionVariant variant;
  bool pack;  ///< inputs whose rows do not all begin on 16 bytes are copied first, into the workspace
};

/// Rows that can be copied 16 bytes at a time, whole.
inline bool holds_chunks(const ConstTensorView& heads) {
  constexpr std::size_t kChunk = 16 / sizeof(std::uint16_t);
  return reinterpret_cast<std::uintptr_t>(heads.data) % 16 == 0 && heads.shape[2] % kChunk == 0 &&
         heads.strides[0] % kChunk == 0 && heads.strides[1] % kChunk == 0;
}

/// Of the variants that do what is wanted and fit a multiprocessor twice, the first with the least head size; where its
/// blocks would leave multiprocessors idle, the first with the fewest rows. For bf16 and f16; throws
/// Error{kUnsupported} where there is none.
inline AttentionConfig choose_attention_config(const AttentionArgs& args, const cudaDeviceProp& device) {
  const std::size_t heads = args.query.shape[0], queries = args.query.shape[1], head_dim = args.query.shape[2];
  const AttentionStatistics& wanted = args.statistics;
  const bool statistics = !wanted.log_sum_exp.empty() || !wanted.entropy.empty() || !wanted.maximum.empty();
  const bool few = heads * ((queries + 127) / 128) < 2 * static_cast<std::size_t>(device.multiProcessorCount);
  const int capability = 10 * device.major + device.minor;
  const AttentionVariant* chosen = nullptr;
  for (const AttentionVariant& variant : kAttentionVariants) {
    const AttentionTile& tile = variant.tile;
    const bool fits = static_cast<std::size_t>(tile.head_dim) >= head_dim &&
                      variant.padding == !args.key_padding.empty() && (variant.statistics || !statistics) &&
                      variant.from <= capability && capability < variant.below &&
                      2 * (tile.shared_bytes() + device.reservedSharedMemPerBlock) <= device.sharedMemPerMultiprocessor;
    if (!fits || (chosen && chosen->tile.head_dim < tile.head_dim)) continue;
    if (!chosen || (few && tile.row_tiles < chosen->tile.row_tiles)) chosen = &variant;
  }
  if (!chosen)
    throw Error(ErrorCode::kUnsupported, "attention: no kernel for head size " + std::to_string(head_dim) + " on " +
                                             device.name + ", needs to be at most " +
                                             std::to_string(kAttentionMaxHeadDim));
  const bool alike = args.key.strides[0] == args.value.strides[0] && args.key.strides[1] == args.value.strides[1];
  return {.variant = *chosen,
          .pack = !alike || !holds_chunks(args.query) || !holds_chunks(args.key) || !holds_chunks(args.value)};
}

}  // namespace lexiscope::cuda
