// A two-layer perceptron in one parallel region. Many rows: each thread takes a block of rows through chunks of hidden
// units, so that a chunk of hidden activations goes from the one product to the other inside the second-level cache.
// Few rows: threads own panels of the products, with the hidden activations shared and a barrier between.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/perceptron.cpp"
#include "kernels/cpu/perceptron.h"

#include <hwy/foreach_target.h>  // must precede highway.h
#include <omp.h>

#include "kernels/cpu/panel_product-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lexiscope::cpu::HWY_NAMESPACE {

static_assert(kBlockDepth % kPanelColumns == 0, "a block of down's contraction is a whole number of up's panels");

// One panel of hidden units for at most kRowsPerBlock rows.
void hidden_panel(const Perceptron& args, std::size_t first, std::size_t panel, MatrixView<float> units) {
  const auto x = args.x.rows_from(first, units.rows);
  const auto panel_of = [panel](VectorView<const float> bias) {
    return bias.empty() ? nullptr : bias.data + panel * kPanelColumns;
  };
  if (args.gate.data)
    linear_panel(
        x, args.gate, panel,
        {.bias = panel_of(args.gate_bias), .activation = args.activation, .factor = {}, .residual = {}, .y = units});
  linear_panel(x, args.up, panel,
               {.bias = panel_of(args.up_bias),
                .activation = args.gate.data ? Activation::none : args.activation,
                .factor = args.gate.data ? units : MatrixView<const float>{},
                .residual = {},
                .y = units});
}

// y of at most kRowsPerBlock rows. hidden: [kRowsPerBlock, kBlockDepth]; sums: [kRowsPerBlock, 48 * down.panels()].
void perceptron_rows(const Perceptron& args, std::size_t first, std::size_t rows, float* hidden, float* sums) {
  const PackedWeights& down = args.down;
  constexpr std::size_t kPanelsPerChunk = kBlockDepth / kPanelColumns;
  const std::size_t sums_stride = down.panels() * kPanelColumns;
  for (std::size_t chunk = 0; chunk < down.blocks(); ++chunk) {
    const MatrixView<float> units{hidden, rows, down.depth(chunk), kBlockDepth};
    const std::size_t first_panel = chunk * kPanelsPerChunk;
    for (std::size_t panel = first_panel; panel < std::min(args.up.panels(), first_panel + kPanelsPerChunk); ++panel)
      hidden_panel(args, first, panel,
                   columns_from(units, (panel - first_panel) * kPanelColumns, args.up.columns(panel)));
    for (std::size_t panel = 0; panel < down.panels(); ++panel)
      multiply_block(units, down, chunk, panel, chunk > 0, sums + panel * kPanelColumns, sums_stride);
  }
  finish_sums(sums, sums_stride,
              {.bias = args.down_bias.data,
               .activation = Activation::none,
               .factor = {},
               .residual = args.residual.empty() ? args.residual : args.residual.rows_from(first, rows),
               .y = args.y.rows_from(first, rows)});
}

}  // namespace lexiscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lexiscope::cpu {
namespace {

HWY_EXPORT(perceptron_rows);
HWY_EXPORT(linear_task);

// One thread's part of the workspace where threads own rows.
struct RowScratch {
  float *hidden, *sums;

  RowScratch(WorkspaceCutter& cutter, const PackedWeights& down)
      : hidden(cutter.cut<float>(kRowsPerBlock * kBlockDepth)),
        sums(cutter.cut<float>(kRowsPerBlock * down.panels() * kPanelColumns)) {}
};

std::size_t row_scratch_bytes(const PackedWeights& down) {
  WorkspaceCutter cutter(nullptr);
  RowScratch(cutter, down);
  return cutter.used();
}

void by_rows(const Perceptron& args, const Context& context) {
  const auto run_rows = HWY_DYNAMIC_DISPATCH(perceptron_rows);
  const ProductConfig config = choose_product_config(args.x.rows, args.down.panels(), context.threads);
  const std::size_t scratch_bytes = row_scratch_bytes(args.down);
#pragma omp parallel num_threads(context.threads)
  {
    WorkspaceCutter cutter(context.workspace.data() + static_cast<std::size_t>(omp_get_thread_num()) * scratch_bytes);
    const RowScratch scratch(cutter, args.down);
#pragma omp for schedule(dynamic)
    for (std::size_t index = 0; index < config.tasks(); ++index) {
      const Task task = config.task(index);
      run_rows(args, task.first_row, task.last_row - task.first_row, scratch.hidden, scratch.sums);
    }
  }
}

void by_panels(const Perceptron& args, const Context& context) {
  const auto run_task = HWY_DYNAMIC_DISPATCH(linear_task);
  const std::size_t rows = args.x.rows, m = args.up.out;
  const bool gated = args.gate.data != nullptr;
  const MatrixView<float> hidden{reinterpret_cast<float*>(context.workspace.data()), rows, m, m};
  const LinearArgs gate_args{.x = args.x, .bias = args.gate_bias, .activation = args.activation, .y = hidden};
  const LinearArgs up_args{
      .x = args.x, .bias = args.up_bias, .activation = gated ? Activation::none : args.activation, .y = hidden};
  const LinearArgs down_args{.x = hidden, .bias = args.down_bias, .residual = args.residual, .y = args.y};
  const ProductConfig up_config = choose_product_config(rows, args.up.panels(), context.threads);
  const ProductConfig down_config = choose_product_config(rows, args.down.panels(), context.threads);
#pragma omp parallel num_threads(context.threads)
  {
#pragma omp for schedule(dynamic)
    for (std::size_t index = 0; index < up_config.tasks(); ++index) {
      if (gated) run_task(gate_args, args.gate, {}, up_config.task(index));
      run_task(up_args, args.up, gated ? hidden : MatrixView<const float>{}, up_config.task(index));
    }
#pragma omp for schedule(dynamic)
    for (std::size_t index = 0; index < down_config.tasks(); ++index)
      run_task(down_args, args.down, {}, down_config.task(index));
  }
}

}  // namespace

std::size_t perceptron_workspace(const Perceptron& args, int threads) {
  if (threads_own_rows(args.x.rows, threads)) return static_cast<std::size_t>(threads) * row_scratch_bytes(args.down);
  return args.x.rows * args.up.out * sizeof(float);
}

void perceptron(const Perceptron& args, const Context& context) {
  if (threads_own_rows(args.x.rows, context.threads))
    by_rows(args, context);
  else
    by_panels(args, context);
}

}  // namespace lexiscope::cpu
#endif
