// A linear layer over threads: blocks of rows where there are many, panels of the weights where there are few.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/linear.cpp"
#include "kernels/cpu/linear.h"

#include <hwy/foreach_target.h>  // must precede highway.h
#include <omp.h>

#include "kernels/cpu/panel_product-inl.h"

#if HWY_ONCE
namespace lexiscope::cpu {

HWY_EXPORT(linear_task);
HWY_EXPORT(linear_tile_task);

Units choose_units(std::size_t rows, const PackedWeights& weights, const Context& context) {
  return context.tiles && weights.steps_in_word == 1 && rows >= kFewestTileRows ? Units::tiles : Units::vectors;
}

LinearTasks::LinearTasks(std::size_t rows, const PackedWeights& weights, const Context& context)
    : units_(choose_units(rows, weights, context)),
      config_(choose_product_config(rows, weights.panels(), context.threads, units_)) {}

std::size_t LinearTasks::scratch_bytes() const noexcept { return units_ == Units::tiles ? TileScratch::bytes() : 0; }

void LinearTasks::run(std::size_t task, const LinearArgs& args, const PackedWeights& weights,
                      MatrixView<const float> factor, std::byte* scratch) const {
  if (units_ == Units::vectors) return HWY_DYNAMIC_DISPATCH(linear_task)(args, weights, factor, config_.task(task));
  WorkspaceCutter cutter(scratch);
  HWY_DYNAMIC_DISPATCH(linear_tile_task)(args, weights, factor, config_.task(task), TileScratch(cutter));
}

std::size_t linear_workspace(const LinearArgs& args, const PackedWeights& weights, const Context& context) {
  return static_cast<std::size_t>(context.threads) * LinearTasks(args.x.rows, weights, context).scratch_bytes();
}

void linear(const LinearArgs& args, const PackedWeights& weights, const Context& context) {
  const LinearTasks tasks(args.x.rows, weights, context);
#pragma omp parallel num_threads(context.threads)
  {
    const auto thread = static_cast<std::size_t>(omp_get_thread_num());
    std::byte* const scratch = context.workspace.data() + thread * tasks.scratch_bytes();
#pragma omp for schedule(dynamic)
    for (std::size_t task = 0; task < tasks.count(); ++task) tasks.run(task, args, weights, {}, scratch);
  }
}

}  // namespace lexiscope::cpu
#endif
