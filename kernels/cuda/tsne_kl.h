// The true divergence of a map: Z over all pairs in double, each pair once, and the sums over the affinities.
#pragma once

#include "kernels/cuda/tsne_affinities.h"

namespace lexiscope::cuda {

struct TsneKlMap {
  const float* positions = nullptr;  ///< [points, dimensions], `stride` floats between rows
  std::size_t stride = 0;
  unsigned points = 0;
  unsigned dimensions = 2;
};

struct TsneKlSums {
  double pairs = 0;       ///< sum_{i < j} q_ij
  double affinities = 0;  ///< sum p_ij
  double terms = 0;       ///< sum p_ij log(p_ij / q_ij), q unnormalised
  unsigned faulty = 0;    ///< of the flags below
};
inline constexpr unsigned kTsneKlAffinitiesFault = 1;       ///< they are no affinities
inline constexpr unsigned kTsneKlPositionsFault = 2;        ///< a coordinate is not finite or too far out
inline constexpr std::size_t kMostTsneKlRowTiles = 65'535;  ///< of one tsne_kl_pairs()

inline constexpr unsigned kTsneKlTile = 256;  ///< points: pairs of tiles are the unit of work
inline unsigned tsne_kl_tiles(unsigned points) { return (points + kTsneKlTile - 1) / kTsneKlTile; }

/// Bytes that the functions below need, aligned to 16.
std::size_t tsne_kl_workspace(unsigned points);

// All enqueue on `stream` and return. `sums` is device memory.

/// Sets sums->faulty, which was 0.
void tsne_kl_check(const TsneKlMap& map, const CompressedRows& affinities, TsneKlSums* sums, cudaStream_t stream);

/// The pairs of the row tiles [first, last) with themselves and all tiles behind them, into the workspace.
void tsne_kl_pairs(const TsneKlMap& map, unsigned first, unsigned last, void* workspace, cudaStream_t stream);

/// After all pairs: the sums, in a fixed order.
void tsne_kl_finish(const TsneKlMap& map, const CompressedRows& affinities, void* workspace, TsneKlSums* sums,
                    cudaStream_t stream);

}  // namespace lexiscope::cuda
