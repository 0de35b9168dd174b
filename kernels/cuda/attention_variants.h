// The kernels that attention is compiled for, as numbers that the choice on the host and the kernels share.
#pragma once

namespace lexiscope::cuda {

inline constexpr int kAttentionWarps = 4;  ///< of a block; two blocks at least fit a multiprocessor

/// What one block of threads works on: `rows()` queries of one head, past which keys and values stream, `keys` at a
/// time.
struct AttentionTile {
  int head_dim;             ///< a multiple of 32; columns from d_k on are 0
  int row_tiles;            ///< tiles of 16 queries a warp; a fragment of the keys read once feeds as many products
  int keys;                 ///< a multiple of 16, of 32 where keys may be padding
  int stages;               ///< blocks of keys and values in shared memory; with 1, keys and values take turns
  bool query_in_registers;  ///< or read again from shared memory for each block of keys, which frees registers

  constexpr int rows() const { return kAttentionWarps * row_tiles * 16; }
  constexpr int shared_bytes() const { return (rows() + 2 * stages * keys) * head_dim * 2; }
  constexpr bool operator==(const AttentionTile&) const = default;
};

struct AttentionVariant {
  AttentionTile tile;
  bool padding;        ///< asks of each key whether it is padding
  bool statistics;     ///< gives the log-sum-exp, entropy and maximum of each row
  int capability = 0;  ///< the lowest compute capability that takes it, ten times: what follows is faster below
  constexpr bool operator==(const AttentionVariant&) const = default;
};

/// Those of one head size in the order they are tried. docs/gpu_performance.md has the modelled speed of each.
inline constexpr AttentionVariant kAttentionVariants[] = {
    // head_dim, row_tiles, keys, stages, query_in_registers; padding, statistics, capability
    {{32, 2, 64, 2, true}, false, true},      {{32, 2, 64, 2, true}, true, true},
    {{64, 2, 64, 3, true}, false, false, 90}, {{64, 2, 64, 2, true}, false, false},
    {{64, 2, 64, 2, true}, false, true, 86},  {{64, 2, 64, 2, false}, false, true},
    {{64, 1, 64, 2, true}, false, true},      {{64, 2, 64, 2, true}, true, true},
    {{96, 2, 32, 2, false}, false, true},     {{96, 2, 32, 2, false}, true, true},
    {{128, 2, 48, 2, false}, false, false},   {{128, 2, 32, 1, false}, false, false},
    {{128, 2, 32, 2, false}, false, true},    {{128, 2, 32, 1, false}, false, true},
    {{128, 1, 32, 2, false}, false, true},    {{128, 2, 32, 1, false}, true, true},
    {{192, 1, 32, 1, false}, false, true},    {{192, 1, 32, 1, false}, true, true},
    {{256, 1, 32, 1, false}, false, true},    {{256, 1, 32, 1, false}, true, true},
};
inline constexpr int kAttentionMaxHeadDim = 256;

}  // namespace lexiscope::cuda
