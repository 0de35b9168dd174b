// A t-SNE map as the cpu kernels hold it: one padded array a coordinate, and the map once more with a point's
// coordinates side by side, for the attraction's random access.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/cpu/context.h"
#include "lexiscope/tensor.h"

namespace lexiscope::cpu {

inline constexpr std::size_t kTsneBlock = 16;   ///< points are padded to this: f32 lanes of the widest target
inline constexpr std::size_t kTsneChunk = 256;  ///< points that a thread takes at once; a multiple of kTsneBlock
inline constexpr float kTsneFarthest = 1e15f;   ///< the largest coordinate allowed: squares of distances stay finite

struct TsneState {
  std::size_t points = 0;
  std::size_t dimensions = 2;
  std::array<float*, 3> position{};  ///< [padded()]; the padding lies far beyond kTsneFarthest, every point apart
  std::array<float*, 3> force{};     ///< [padded()]: sum_j q_ij^2 (y_i - y_j)
  std::array<float*, 3> update{};    ///< [padded()]
  std::array<float*, 3> gain{};      ///< [padded()]
  float* interleaved = nullptr;      ///< [points][pitch()]
  double* chunk_sums = nullptr;      ///< [chunks()][3]: for a mean that does not depend on the threads

  std::size_t padded() const noexcept { return (points + kTsneBlock - 1) / kTsneBlock * kTsneBlock; }
  std::size_t chunks() const noexcept { return (points + kTsneChunk - 1) / kTsneChunk; }
  std::size_t pitch() const noexcept { return dimensions == 2 ? 2 : 4; }
};

/// The box that holds a map.
struct TsneExtents {
  std::array<float, 3> low{}, high{};
};

/// A state for that many points, cut from memory; with a counting cutter, its size.
TsneState cut_tsne_state(WorkspaceCutter& cutter, std::size_t points, std::size_t dimensions);

/// Lays the positions out, and resets everything of the padding.
void set_tsne_positions(const TsneState& state, const MatrixView<const float>& positions);

/// [points, dimensions] to one array a coordinate, and back.
void load_tsne_columns(const TsneState& state, const MatrixView<const float>& from, const std::array<float*, 3>& to);
void store_tsne_columns(const TsneState& state, const std::array<float*, 3>& from, const MatrixView<float>& to);

TsneExtents find_tsne_extents(const TsneState& state);

/// Affinities in compressed rows that are padded to whole blocks with (the row's own point, 0), which attracts nothing.
struct TsneAffinities {
  std::size_t points = 0;
  const std::int64_t* row_offsets = nullptr;  ///< [points + 1], multiples of kTsneBlock
  const std::int32_t* columns = nullptr;
  const float* values = nullptr;
};

/// The matrix with its rows padded, cut from memory; with a counting cutter, nothing but its size.
TsneAffinities pad_affinities(WorkspaceCutter& cutter, std::span<const std::int64_t> row_offsets,
                              const std::int32_t* columns, const float* values);

}  // namespace lexiscope::cpu
