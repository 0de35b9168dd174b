// A two-layer perceptron in one parallel region. Many rows: each thread takes a block of rows through chunks of hidden
// units, so that a chunk of hidden activations goes from the one product to the other inside the second-level cache.
// Few rows, and all on tiles: threads own panels of the products, with the hidden activations shared and a barrier
// between.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/perceptron.cpp"
#include "kernels/cpu/perceptron.h"

#include <hwy/foreach_target.h>  // must precede highway.h
#include <omp.h>

#include "kernels/cpu/linear.h"
#include "kernels/cpu/panel_product-inl.h"
#include "kernels/cpu/task_shares.h"

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

inline constexpr std::size_t kHiddenRows = 1024;  // whose hidden activations are in memory at once, on tiles

// One choice for all three matrices, which may differ in precision: tiles take f32 alone.
Units units_of(const Perceptron& args, const Context& context) {
  for (const PackedWeights* weights : {&args.gate, &args.up, &args.down})
    if (choose_units(args.x.rows, *weights, context) == Units::vectors) return Units::vectors;
  return Units::tiles;
}

bool by_rows(const Perceptron& args, const Context& context) {
  return units_of(args, context) == Units::vectors && threads_own_rows(args.x.rows, context.threads);
}

// One thread's part of the workspace where threads own rows.
struct RowScratch {
  float *hidden, *sums;

  RowScratch(WorkspaceCutter& cutter, const PackedWeights& down)
      : hidden(cutter.cut<float>(kRowsPerBlock * kBlockDepth)),
        sums(cutter.cut<float>(kRowsPerBlock * down.panels() * kPanelColumns)) {}

  static std::size_t bytes(const PackedWeights& down) {
    WorkspaceCutter cutter(nullptr);
    RowScratch(cutter, down);
    return cutter.used();
  }
};

void all_rows(const Perceptron& args, const Context& context) {
  const ProductConfig config = choose_product_config(args.x.rows, args.down.panels(), context.threads);
  const std::size_t scratch_bytes = RowScratch::bytes(args.down);
#pragma omp parallel num_threads(context.threads)
  {
    WorkspaceCutter cutter(context.workspace.data() + static_cast<std::size_t>(omp_get_thread_num()) * scratch_bytes);
    const RowScratch scratch(cutter, args.down);
#pragma omp for schedule(dynamic)
    for (std::size_t index = 0; index < config.tasks(); ++index) {
      const Task task = config.task(index);
      HWY_DYNAMIC_DISPATCH(perceptron_rows)(args, task.first_row, task.rows(), scratch.hidden, scratch.sums);
    }
  }
}

// Of at most kHiddenRows rows: the hidden activations, and each thread's scratch.
struct PanelWorkspace {
  MatrixView<float> hidden;
  std::byte* scratch;
  std::size_t scratch_bytes, bytes;

  PanelWorkspace(const Perceptron& args, const Context& context, std::byte* base)
      : scratch_bytes(LinearTasks(args.x.rows, args.up, units_of(args, context), context.threads).scratch_bytes()) {
    WorkspaceCutter cutter(base);
    const std::size_t units = args.up.out, rows = std::min(args.x.rows, kHiddenRows);
    hidden = {cutter.cut<float>(rows * units), rows, units, units};
    scratch = cutter.cut<std::byte>(static_cast<std::size_t>(context.threads) * scratch_bytes);
    bytes = cutter.used();
  }
};

void all_panels(const Perceptron& args, const PanelWorkspace& workspace, const Context& context) {
  const MatrixView<float> hidden = workspace.hidden.rows_from(0, args.x.rows);
  const bool gated = args.gate.data != nullptr;
  const LinearArgs gate_args{.x = args.x, .bias = args.gate_bias, .activation = args.activation, .y = hidden};
  const LinearArgs up_args{
      .x = args.x, .bias = args.up_bias, .activation = gated ? Activation::none : args.activation, .y = hidden};
  const LinearArgs down_args{.x = hidden, .bias = args.down_bias, .residual = args.residual, .y = args.y};
  const Units units = units_of(args, context);
  const LinearTasks up(args.x.rows, args.up, units, context.threads),
      down(args.x.rows, args.down, units, context.threads);
  TaskShares up_shares(up.count(), context.threads), down_shares(down.count(), context.threads);
#pragma omp parallel num_threads(context.threads)
  {
    const int thread = omp_get_thread_num();
    std::byte* const memory = workspace.scratch + static_cast<std::size_t>(thread) * workspace.scratch_bytes;
    TileScratch up_scratch = up.scratch(memory), down_scratch = down.scratch(memory);
    up_shares.run(thread, [&](std::size_t task) {
      if (gated) up.run(task, gate_args, args.gate, {}, up_scratch);
      up.run(task, up_args, args.up, gated ? hidden : MatrixView<const float>{}, up_scratch);
    });
#pragma omp barrier
    down_shares.run(thread, [&](std::size_t task) { down.run(task, down_args, args.down, {}, down_scratch); });
  }
}

Perceptron rows_of(const Perceptron& args, std::size_t first, std::size_t rows) {
  Perceptron part = args;
  part.x = args.x.rows_from(first, rows);
  part.y = args.y.rows_from(first, rows);
  if (!args.residual.empty()) part.residual = args.residual.rows_from(first, rows);
  return part;
}

}  // namespace

std::size_t perceptron_workspace(const Perceptron& args, const Context& context) {
  if (by_rows(args, context)) return static_cast<std::size_t>(context.threads) * RowScratch::bytes(args.down);
  return PanelWorkspace(args, context, nullptr).bytes;
}

void perceptron(const Perceptron& args, const Context& context) {
  if (by_rows(args, context)) return all_rows(args, context);
  const PanelWorkspace workspace(args, context, context.workspace.data());
  const std::size_t parts = (args.x.rows + kHiddenRows - 1) / kHiddenRows, step = (args.x.rows + parts - 1) / parts;
  for (std::size_t first = 0; first < args.x.rows; first += step)
    all_panels(rows_of(args, first, std::min(step, args.x.rows - first)), workspace, context);
}

}  // namespace lexiscope::cpu
#endif
