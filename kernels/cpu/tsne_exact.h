#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#include "kernels/cpu/tsne_state.h"

namespace lexiscope::cpu {

namespace exact {

inline constexpr std::size_t kBlock = 256;     // points: three coordinates and forces of two blocks fit the L1 cache
inline constexpr std::size_t kMostSlots = 32;  // what can run at once

/// Memory of one slot: the forces it found, and its share of Z.
struct Slot {
  std::array<float*, 3> force;
  double* normalization;
};

inline std::size_t blocks(const TsneState& state) { return (state.points + kBlock - 1) / kBlock; }
/// Few enough that every slot has several pairs of blocks to do.
inline std::size_t slots(const TsneState& state) { return std::clamp<std::size_t>(blocks(state) / 2, 1, kMostSlots); }

inline Slot cut_slot(WorkspaceCutter& cutter, const TsneState& state) {
  Slot slot{};
  for (std::size_t c = 0; c < state.dimensions; ++c) slot.force[c] = cutter.cut<float>(state.padded());
  slot.normalization = cutter.cut<double>(1);
  return slot;
}

}  // namespace exact

std::size_t tsne_exact_repulsion_workspace(const TsneState& state);

/// Fills state.force over all pairs; returns Z.
double tsne_exact_repulsion(const TsneState& state, const Context& context);

}  // namespace lexiscope::cpu
