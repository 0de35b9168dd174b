// Repulsion over all pairs, each unordered pair once: what it does to one point is taken from the other.
#pragma once

#include "kernels/cuda/tsne_state.h"

namespace lexiscope::cuda {

/// Points are cut into tiles, and the pairs of tiles are the work: rows, and the columns from the rows' tile on.
struct TsneExactConfig {
  unsigned rows = 1;        ///< points of a tile that a thread holds: 1, 2, 4 or 8 (in 3-D at most 4)
  unsigned band_tiles = 1;  ///< tiles of columns done at a time: their partial sums are in memory together
};

inline constexpr unsigned kTsneExactThreads = 128;  // of a block

inline unsigned tsne_exact_tiles(unsigned points, const TsneExactConfig& config) {
  const unsigned tile = kTsneExactThreads * config.rows;
  return (points + tile - 1) / tile;
}

/// The largest tiles of which the device gets enough pairs, and bands of at most about 1 GiB of partial sums.
TsneExactConfig choose_tsne_exact_config(unsigned points, unsigned dimensions, const cudaDeviceProp& device);

/// Bytes that tsne_exact_repulsion() needs.
std::size_t tsne_exact_workspace(unsigned points, unsigned dimensions, const TsneExactConfig& config);

/// Fills state.force, and Z of the status. Enqueues on `stream` and returns; the workspace is device memory, aligned to
/// 16 bytes. Sums run in a fixed order. Throws Error{kDevice} where a launch is refused.
void tsne_exact_repulsion(const TsneState& state, const TsneExactConfig& config, void* workspace, cudaStream_t stream);

}  // namespace lexiscope::cuda
