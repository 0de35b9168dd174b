// A two-layer perceptron in one parallel region. Many rows: each thread takes a block of rows through chunks of hidden
// units, so that a chunk of hidden activations goes from the one product to the other inside the second-level cache.
// Few rows: threads own panels of the products, with the hidden activations shared and a barrier between.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/perceptron.cpp"
#include "kernels/cpu/perceptron.h"

#include <hwy/foreach_target.h>  // must precede highway.h
#include <omp.h>

#include "kernels/cpu/linear.h"
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

Finish finish_of_down(const Perceptron& args, std::size_t first, std::size_t rows) {
  return {.bias = args.down_bias.data,
          .activation = Activation::none,
          .factor = {},
          .residual = args.residual.empty() ? args.residual : args.residual.rows_from(first, rows),
          .y = args.y.rows_from(first, rows)};
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
  finish_sums(sums, sums_stride, finish_of_down(args, first, rows));
}

// The same on tiles, of at most kRowsPerTileBlock rows. hidden: [kRowsPerTileBlock, kBlockDepth]; sums:
// [kRowsPerTileBlock, tile_columns(down.panels())].
void perceptron_tile_rows(const Perceptron& args, std::size_t first, std::size_t rows, float* hidden, float* sums,
                          const TileScratch& scratch) {
  static_assert(kBlockDepth == kPanelsPerTileBlock * kPanelColumns);
  const HardwareTiles tiles;
  const PackedWeights& down = args.down;
  const std::size_t sums_stride = tile_columns(down.panels());
  for (std::size_t chunk = 0; chunk < down.blocks(); ++chunk) {
    const MatrixView<float> units{hidden, rows, down.depth(chunk), kBlockDepth};
    const std::size_t first_panel = chunk * kPanelsPerTileBlock;
    const std::size_t panels = std::min(kPanelsPerTileBlock, args.up.panels() - first_panel);
    const auto layer = [&](const PackedWeights& weights, VectorView<const float> bias, Activation activation,
                           MatrixView<const float> factor) {
      multiply_on_tiles(tiles, args.x.rows_from(first, rows), weights, first_panel, panels, scratch);
      finish_sums(scratch.sums, TileScratch::kSumsStride,
                  {.bias = bias.empty() ? nullptr : bias.data + chunk * kBlockDepth,
                   .activation = activation,
                   .factor = factor,
                   .residual = {},
                   .y = units});
    };
    if (args.gate.data) {
      layer(args.gate, args.gate_bias, args.activation, {});
      layer(args.up, args.up_bias, Activation::none, units);
    } else {
      layer(args.up, args.up_bias, args.activation, {});
    }
    tile_product::split_rows(units, scratch.x);
    tile_product::multiply_columns(tiles, rows, down, chunk, 0, down.panels(), chunk > 0, scratch, sums, sums_stride);
  }
  finish_sums(sums, sums_stride, finish_of_down(args, first, rows));
}

}  // namespace lexiscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lexiscope::cpu {
namespace {

HWY_EXPORT(perceptron_rows);
HWY_EXPORT(perceptron_tile_rows);

// One thread's part of the workspace where threads own rows.
struct RowScratch {
  float *hidden, *sums;
  std::byte* tiles = nullptr;

  RowScratch(WorkspaceCutter& cutter, const PackedWeights& down, Units units) {
    const std::size_t rows = units == Units::tiles ? kRowsPerTileBlock : kRowsPerBlock;
    hidden = cutter.cut<float>(rows * kBlockDepth);
    sums = cutter.cut<float>(rows * tile_columns(down.panels()));
    if (units == Units::tiles) tiles = cutter.cut<std::byte>(TileScratch::bytes());
  }

  static std::size_t bytes(const PackedWeights& down, Units units) {
    WorkspaceCutter cutter(nullptr);
    RowScratch(cutter, down, units);
    return cutter.used();
  }
};

void by_rows(const Perceptron& args, Units units, const Context& context) {
  const ProductConfig config = choose_product_config(args.x.rows, args.down.panels(), context.threads, units);
  const std::size_t scratch_bytes = RowScratch::bytes(args.down, units);
#pragma omp parallel num_threads(context.threads)
  {
    WorkspaceCutter cutter(context.workspace.data() + static_cast<std::size_t>(omp_get_thread_num()) * scratch_bytes);
    const RowScratch scratch(cutter, args.down, units);
#pragma omp for schedule(dynamic)
    for (std::size_t index = 0; index < config.tasks(); ++index) {
      const Task task = config.task(index);
      const std::size_t rows = task.last_row - task.first_row;
      if (units == Units::tiles) {
        WorkspaceCutter tile_cutter(scratch.tiles);
        HWY_DYNAMIC_DISPATCH(perceptron_tile_rows)
        (args, task.first_row, rows, scratch.hidden, scratch.sums, TileScratch(tile_cutter));
      } else {
        HWY_DYNAMIC_DISPATCH(perceptron_rows)(args, task.first_row, rows, scratch.hidden, scratch.sums);
      }
    }
  }
}

// The hidden activations of all rows, and each thread's scratch.
struct PanelWorkspace {
  MatrixView<float> hidden;
  std::byte* scratch;
  std::size_t scratch_bytes, bytes;

  PanelWorkspace(const Perceptron& args, const Context& context, std::byte* base)
      : scratch_bytes(LinearTasks(args.x.rows, args.up, context).scratch_bytes()) {
    WorkspaceCutter cutter(base);
    const std::size_t units = args.up.out;
    hidden = {cutter.cut<float>(args.x.rows * units), args.x.rows, units, units};
    scratch = cutter.cut<std::byte>(static_cast<std::size_t>(context.threads) * scratch_bytes);
    bytes = cutter.used();
  }
};

void by_panels(const Perceptron& args, const Context& context) {
  const PanelWorkspace workspace(args, context, context.workspace.data());
  const MatrixView<float> hidden = workspace.hidden;
  const bool gated = args.gate.data != nullptr;
  const LinearArgs gate_args{.x = args.x, .bias = args.gate_bias, .activation = args.activation, .y = hidden};
  const LinearArgs up_args{
      .x = args.x, .bias = args.up_bias, .activation = gated ? Activation::none : args.activation, .y = hidden};
  const LinearArgs down_args{.x = hidden, .bias = args.down_bias, .residual = args.residual, .y = args.y};
  const LinearTasks up(args.x.rows, args.up, context), down(args.x.rows, args.down, context);
#pragma omp parallel num_threads(context.threads)
  {
    const auto thread = static_cast<std::size_t>(omp_get_thread_num());
    std::byte* const scratch = workspace.scratch + thread * workspace.scratch_bytes;
#pragma omp for schedule(dynamic)
    for (std::size_t task = 0; task < up.count(); ++task) {
      if (gated) up.run(task, gate_args, args.gate, {}, scratch);
      up.run(task, up_args, args.up, gated ? hidden : MatrixView<const float>{}, scratch);
    }
#pragma omp for schedule(dynamic)
    for (std::size_t task = 0; task < down.count(); ++task) down.run(task, down_args, args.down, {}, scratch);
  }
}

}  // namespace

std::size_t perceptron_workspace(const Perceptron& args, const Context& context) {
  const Units units = choose_units(args.x.rows, args.up, context);
  if (threads_own_rows(args.x.rows, context.threads, units))
    return static_cast<std::size_t>(context.threads) * RowScratch::bytes(args.down, units);
  return PanelWorkspace(args, context, nullptr).bytes;
}

void perceptron(const Perceptron& args, const Context& context) {
  const Units units = choose_units(args.x.rows, args.up, context);
  if (threads_own_rows(args.x.rows, context.threads, units))
    by_rows(args, units, context);
  else
    by_panels(args, context);
}

}  // namespace lexiscope::cpu
#endif
