// A linear layer over threads: blocks of rows where there are many, panels of the weights where there are few.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/linear.cpp"
#include "kernels/cpu/linear.h"

#include <hwy/foreach_target.h>  // must precede highway.h

#include "kernels/cpu/panel_product-inl.h"

#if HWY_ONCE
namespace lexiscope::cpu {

HWY_EXPORT(linear_task);

void linear(const LinearArgs& args, const PackedWeights& weights, const Context& context) {
  const auto run_task = HWY_DYNAMIC_DISPATCH(linear_task);
  const ProductConfig config = choose_product_config(args.x.rows, weights.panels(), context.threads);
#pragma omp parallel for schedule(dynamic) num_threads(context.threads)
  for (std::size_t index = 0; index < config.tasks(); ++index) run_task(args, weights, {}, config.task(index));
}

}  // namespace lexiscope::cpu
#endif
