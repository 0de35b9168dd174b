// Lays out a t-SNE map and its affinities for the kernels.
#include "kernels/cpu/tsne_state.h"

#include <algorithm>

namespace lexiscope::cpu {

TsneState cut_tsne_state(WorkspaceCutter& cutter, std::size_t points, std::size_t dimensions) {
  TsneState state{.points = points, .dimensions = dimensions};
  for (auto* arrays : {&state.position, &state.force, &state.update, &state.gain})
    for (std::size_t c = 0; c < dimensions; ++c) (*arrays)[c] = cutter.cut<float>(state.padded());
  state.interleaved = cutter.cut<float>(state.padded() * state.pitch());
  state.chunk_sums = cutter.cut<double>(state.chunks() * 3);
  return state;
}

void set_tsne_positions(const TsneState& state, const MatrixView<const float>& positions) {
  for (std::size_t c = 0; c < state.dimensions; ++c) {
    for (std::size_t i = 0; i < state.points; ++i)
      state.interleaved[i * state.pitch() + c] = state.position[c][i] = positions.row(i)[c];
    for (std::size_t i = state.points; i < state.padded(); ++i) {
      state.position[c][i] = 100 * kTsneFarthest * static_cast<float>(1 + i - state.points);
      state.force[c][i] = state.update[c][i] = state.gain[c][i] = 0;
    }
  }
}

void load_tsne_columns(const TsneState& state, const MatrixView<const float>& from, const std::array<float*, 3>& to) {
  for (std::size_t c = 0; c < state.dimensions; ++c)
    for (std::size_t i = 0; i < state.points; ++i) to[c][i] = from.row(i)[c];
}

void store_tsne_columns(const TsneState& state, const std::array<float*, 3>& from, const MatrixView<float>& to) {
  for (std::size_t c = 0; c < state.dimensions; ++c)
    for (std::size_t i = 0; i < state.points; ++i) to.row(i)[c] = from[c][i];
}

TsneExtents find_tsne_extents(const TsneState& state) {
  TsneExtents extents;
  for (std::size_t c = 0; c < state.dimensions; ++c) {
    float low = state.position[c][0], high = low;
    for (std::size_t i = 0; i < state.points; ++i) {
      low = std::min(low, state.position[c][i]);
      high = std::max(high, state.position[c][i]);
    }
    extents.low[c] = low;
    extents.high[c] = high;
  }
  return extents;
}

namespace {

std::size_t padded_entries(std::span<const std::int64_t> row_offsets) {
  std::size_t entries = 0;
  for (std::size_t i = 0; i + 1 < row_offsets.size(); ++i) {
    const auto row = static_cast<std::size_t>(row_offsets[i + 1] - row_offsets[i]);
    entries += (row + kTsneBlock - 1) / kTsneBlock * kTsneBlock;
  }
  return entries;
}

}  // namespace

TsneAffinities pad_affinities(WorkspaceCutter& cutter, std::span<const std::int64_t> row_offsets,
                              const std::int32_t* columns, const float* values) {
  const std::size_t points = row_offsets.size() - 1, entries = padded_entries(row_offsets);
  auto* padded_offsets = cutter.cut<std::int64_t>(points + 1);
  auto* padded_columns = cutter.cut<std::int32_t>(entries);
  auto* padded_values = cutter.cut<float>(entries);
  if (!padded_offsets) return {};  // only counting
  std::size_t at = 0;
  for (std::size_t i = 0; i < points; ++i) {
    padded_offsets[i] = static_cast<std::int64_t>(at);
    for (auto e = static_cast<std::size_t>(row_offsets[i]); e < static_cast<std::size_t>(row_offsets[i + 1]);
         ++e, ++at) {
      padded_columns[at] = columns[e];
      padded_values[at] = values[e];
    }
    for (; at % kTsneBlock != 0; ++at) {
      padded_columns[at] = static_cast<std::int32_t>(i);
      padded_values[at] = 0;
    }
  }
  padded_offsets[points] = static_cast<std::int64_t>(at);
  return {points, padded_offsets, padded_columns, padded_values};
}

}  // namespace lexiscope::cpu
