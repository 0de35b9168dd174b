// A linear layer over threads. On vectors: blocks of rows where there are many, panels of the weights where there are
// few. On tiles: blocks of both.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/linear.cpp"
#include "kernels/cpu/linear.h"

#include <hwy/foreach_target.h>  // must precede highway.h
#include <omp.h>

#include "kernels/cpu/panel_product-inl.h"
#include "kernels/cpu/task_shares.h"

HWY_BEFORE_NAMESPACE();
namespace lexiscope::cpu::HWY_NAMESPACE {

void split_pair_of_columns(const PackedWeights& weights, const TileParts<std::uint16_t>& parts, std::size_t pair) {
  for (std::size_t step = 0; step < parts.steps; step += kStepsPerTileBlock)
    tile_product::split_columns(weights, pair, step, parts.at(pair, step));
}

}  // namespace lexiscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lexiscope::cpu {
namespace {

HWY_EXPORT(linear_task);
HWY_EXPORT(linear_tile_task);
HWY_EXPORT(split_pair_of_columns);

ProductConfig choose_config(std::size_t rows, const PackedWeights& weights, int threads, Units units) {
  if (units == Units::tiles) return choose_tile_config(rows, tile_pairs(weights.out), threads);
  return choose_product_config(rows, weights.panels(), threads);
}

}  // namespace

Units choose_units(std::size_t rows, const PackedWeights& weights, const Context& context) {
  return context.tiles && weights.steps_in_word == 1 && rows >= kFewestTileRows ? Units::tiles : Units::vectors;
}

std::size_t size_of_parts(const PackedWeights& weights) {
  return TileParts<std::uint16_t>::size(weights.out, weights.in);
}

void split_weights(const PackedWeights& weights, std::uint16_t* parts, int threads) {
  const TileParts<std::uint16_t> to{parts, steps_of(weights.in)};
#pragma omp parallel for schedule(static) num_threads(threads)
  for (std::size_t pair = 0; pair < tile_pairs(weights.out); ++pair)
    HWY_DYNAMIC_DISPATCH(split_pair_of_columns)(weights, to, pair);
}

LinearTasks::LinearTasks(std::size_t rows, const PackedWeights& weights, Units units, int threads)
    : units_(units), config_(choose_config(rows, weights, threads, units)) {}

TileScratch LinearTasks::scratch(std::byte* memory) const {
  if (units_ == Units::vectors) return {};
  WorkspaceCutter cutter(memory);
  return TileScratch(cutter);
}

void LinearTasks::run(std::size_t task, const LinearArgs& args, const PackedWeights& weights,
                      MatrixView<const float> factor, TileScratch& scratch) const {
  if (units_ == Units::vectors)
    HWY_DYNAMIC_DISPATCH(linear_task)(args, weights, factor, config_.task(task));
  else
    HWY_DYNAMIC_DISPATCH(linear_tile_task)(args, weights, factor, config_.task(task), scratch);
}

namespace {

LinearTasks tasks_of(const LinearArgs& args, const PackedWeights& weights, const Context& context) {
  return {args.x.rows, weights, choose_units(args.x.rows, weights, context), context.threads};
}

}  // namespace

std::size_t linear_workspace(const LinearArgs& args, const PackedWeights& weights, const Context& context) {
  return static_cast<std::size_t>(context.threads) * tasks_of(args, weights, context).scratch_bytes();
}

void linear(const LinearArgs& args, const PackedWeights& weights, const Context& context) {
  const LinearTasks tasks = tasks_of(args, weights, context);
  TaskShares shares(tasks.count(), context.threads);
#pragma omp parallel num_threads(context.threads)
  {
    const int thread = omp_get_thread_num();
    TileScratch scratch =
        tasks.scratch(context.workspace.data() + static_cast<std::size_t>(thread) * tasks.scratch_bytes());
    shares.run(thread, [&](std::size_t task) { tasks.run(task, args, weights, {}, scratch); });
  }
}

}  // namespace lexiscope::cpu
#endif
