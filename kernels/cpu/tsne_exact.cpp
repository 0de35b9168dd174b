// Repulsion over all pairs, each pair once: what it does to one point is taken from the other. Blocks of points make
// pairs of blocks, dealt to slots by the shape alone; every slot sums into arrays of its own, which are added in order.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/tsne_exact.cpp"
#include "kernels/cpu/tsne_exact.h"

#include <hwy/foreach_target.h>  // must precede highway.h
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/cpu/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lexiscope::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::ScalableTag<float>;
using FloatVector = hn::Vec<FloatTag>;

constexpr std::size_t kRows = 4;  // points i that share one load of points j

double sum_in_double(FloatVector values) {
  const FloatTag d;
  HWY_ALIGN float lanes[kMostLanes];
  hn::Store(values, d, lanes);
  double sum = 0;
  for (const float lane : lanes) sum += lane;
  return sum;
}

template <std::size_t kDimensions>
struct Rows {
  FloatVector position[kDimensions][kRows];
  FloatVector force[kDimensions][kRows];
  FloatVector normalization;
};

// kRows points against the lanes' points from j on. On the diagonal only pairs with first_row + r < j count.
template <std::size_t kDimensions, bool kDiagonal>
HWY_INLINE void add_pairs(const TsneState& state, const exact::Slot& slot, std::size_t first_row, std::size_t j,
                          Rows<kDimensions>& rows) {
  const FloatTag d;
  const auto one = hn::Set(d, 1.0f);
  FloatVector position[kDimensions], force[kDimensions];
  for (std::size_t c = 0; c < kDimensions; ++c) {
    position[c] = hn::Load(d, state.position[c] + j);
    force[c] = hn::Load(d, slot.force[c] + j);
  }
  for (std::size_t r = 0; r < kRows; ++r) {
    FloatVector difference[kDimensions];
    auto s = one;
    for (std::size_t c = 0; c < kDimensions; ++c) {
      difference[c] = hn::Sub(rows.position[c][r], position[c]);
      s = hn::MulAdd(difference[c], difference[c], s);
    }
    auto q = hn::Div(one, s);
    if constexpr (kDiagonal) {
      const hn::RebindToSigned<FloatTag> i32;
      const auto other = hn::Iota(i32, static_cast<std::int32_t>(j));
      const auto counts = hn::Gt(other, hn::Set(i32, static_cast<std::int32_t>(first_row + r)));
      q = hn::IfThenElseZero(hn::RebindMask(d, counts), q);
    }
    rows.normalization = hn::Add(rows.normalization, q);
    q = hn::Mul(q, q);
    for (std::size_t c = 0; c < kDimensions; ++c) {
      rows.force[c][r] = hn::MulAdd(q, difference[c], rows.force[c][r]);
      force[c] = hn::NegMulAdd(q, difference[c], force[c]);
    }
  }
  for (std::size_t c = 0; c < kDimensions; ++c) hn::Store(force[c], d, slot.force[c] + j);
}

// All pairs between blocks I <= J of points; each pair once.
template <std::size_t kDimensions>
double add_block_pair(const TsneState& state, const exact::Slot& slot, std::size_t block_i, std::size_t block_j) {
  const FloatTag d;
  const std::size_t lanes = hn::Lanes(d);
  const std::size_t end_i = std::min((block_i + 1) * exact::kBlock, state.points);
  const std::size_t end_j = std::min((block_j + 1) * exact::kBlock, state.padded());
  double normalization = 0;
  for (std::size_t i = block_i * exact::kBlock; i < end_i; i += kRows) {
    Rows<kDimensions> rows;
    rows.normalization = hn::Zero(d);
    for (std::size_t c = 0; c < kDimensions; ++c)
      for (std::size_t r = 0; r < kRows; ++r) {
        rows.position[c][r] = hn::Set(d, state.position[c][i + r]);
        rows.force[c][r] = hn::Zero(d);
      }
    std::size_t j = block_j * exact::kBlock;
    if (block_i == block_j)
      for (j = i / lanes * lanes; j < i + kRows; j += lanes) add_pairs<kDimensions, true>(state, slot, i, j, rows);
    for (; j < end_j; j += lanes) add_pairs<kDimensions, false>(state, slot, i, j, rows);
    for (std::size_t c = 0; c < kDimensions; ++c)
      for (std::size_t r = 0; r < kRows; ++r) slot.force[c][i + r] += hn::GetLane(hn::SumOfLanes(d, rows.force[c][r]));
    normalization += sum_in_double(rows.normalization);
  }
  return normalization;
}

template <std::size_t kDimensions>
void run_slot(const TsneState& state, const exact::Slot& slot, std::size_t index) {
  for (std::size_t c = 0; c < kDimensions; ++c) std::fill_n(slot.force[c], state.padded(), 0.0f);
  *slot.normalization = 0;
  for (std::size_t i = 0; i < exact::blocks(state); ++i)
    for (std::size_t j = i; j < exact::blocks(state); ++j)
      if ((i + j) % exact::slots(state) == index) *slot.normalization += add_block_pair<kDimensions>(state, slot, i, j);
}

void run_slot_2d(const TsneState& state, const exact::Slot& slot, std::size_t index) {
  run_slot<2>(state, slot, index);
}
void run_slot_3d(const TsneState& state, const exact::Slot& slot, std::size_t index) {
  run_slot<3>(state, slot, index);
}

}  // namespace lexiscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lexiscope::cpu {

HWY_EXPORT(run_slot_2d);
HWY_EXPORT(run_slot_3d);

std::size_t tsne_exact_repulsion_workspace(const TsneState& state) {
  WorkspaceCutter cutter(nullptr);
  for (std::size_t s = 0; s < exact::slots(state); ++s) exact::cut_slot(cutter, state);
  return cutter.used();
}

double tsne_exact_repulsion(const TsneState& state, const Context& context) {
  const auto run = state.dimensions == 2 ? HWY_DYNAMIC_DISPATCH(run_slot_2d) : HWY_DYNAMIC_DISPATCH(run_slot_3d);
  const std::size_t count = exact::slots(state);
  exact::Slot slots[exact::kMostSlots];
  WorkspaceCutter cutter(context.workspace.data());
  for (std::size_t s = 0; s < count; ++s) slots[s] = exact::cut_slot(cutter, state);
#pragma omp parallel for schedule(dynamic, 1) num_threads(context.threads)
  for (std::size_t s = 0; s < count; ++s) run(state, slots[s], s);

#pragma omp parallel for schedule(static) num_threads(context.threads)
  for (std::size_t i = 0; i < state.points; ++i)
    for (std::size_t c = 0; c < state.dimensions; ++c) {
      double force = 0;
      for (std::size_t s = 0; s < count; ++s) force += slots[s].force[c][i];
      state.force[c][i] = static_cast<float>(force);
    }
  double normalization = 0;
  for (std::size_t s = 0; s < count; ++s) normalization += *slots[s].normalization;
  return 2 * normalization;
}

}  // namespace lexiscope::cpu
#endif
