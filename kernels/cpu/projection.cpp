// The projection in double, rounded once: blocks of centred rows times the components, both packed in slivers.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/projection.cpp"
#include "kernels/cpu/projection.h"

#include <hwy/foreach_target.h>  // must precede highway.h
#include <hwy/highway.h>
#include <omp.h>

#include <algorithm>

#include "kernels/cpu/double_product-inl.h"

#ifndef LEXISCOPE_KERNELS_CPU_PROJECTION_LAYOUT_
#define LEXISCOPE_KERNELS_CPU_PROJECTION_LAYOUT_
namespace lexiscope::cpu {

constexpr std::size_t kBlockRows = 48;  // of x in a task: packed, they stay in the second-level cache

struct ProjectionLayout {
  double* components;  // [d, k rounded up to whole slivers]: packed
  double* rows;        // [threads, kBlockRows * d]: packed
  double* scores;      // [threads, kBlockRows, kSliverMultiple]
  std::size_t bytes;
};

inline ProjectionLayout projection_layout(std::size_t d, std::size_t k, int threads, std::byte* base) {
  const auto count = static_cast<std::size_t>(threads);
  WorkspaceCutter cutter(base);
  ProjectionLayout layout{};
  layout.components = cutter.cut<double>(d * round_up(k, kSliverMultiple));
  layout.rows = cutter.cut<double>(count * kBlockRows * d);
  layout.scores = cutter.cut<double>(count * kBlockRows * kSliverMultiple);
  layout.bytes = cutter.used();
  return layout;
}

}  // namespace lexiscope::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace lexiscope::cpu::HWY_NAMESPACE {

void pack_all_components(MatrixView<const double> components, double* packed) {
  pack_rows<kRightWidth>(components, nullptr, packed);
}

// The scores of one block of rows; `packed` and `scores` are this thread's scratch.
void project_block(const ProjectionArgs& args, MatrixView<const float> rows, MatrixView<float> out,
                   const double* components, double* packed, double* scores) {
  const std::size_t d = rows.columns, k = out.columns;
  pack_rows<kLeftWidth>(rows, args.mean.data, packed);
  for (std::size_t first = 0; first < k; first += kRightWidth) {
    const std::size_t count = std::min(kRightWidth, k - first);
    std::fill_n(scores, round_up(rows.rows, kLeftWidth) * kRightWidth, 0.0);
    for (std::size_t r = 0; r < rows.rows; r += kLeftWidth)
      multiply_slivers(packed + r * d, components + first * d, d, count, scores + r * kRightWidth, kRightWidth);
    for (std::size_t r = 0; r < rows.rows; ++r)
      for (std::size_t j = 0; j < count; ++j) out.row(r)[first + j] = static_cast<float>(scores[r * kRightWidth + j]);
  }
}

}  // namespace lexiscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lexiscope::cpu {

HWY_EXPORT(pack_all_components);
HWY_EXPORT(project_block);

std::size_t choose_projection_chunk(std::size_t d, std::size_t k) {
  constexpr double kChunkFlops = 4e9;  // a few tenths of a second on a slow core
  const double row_flops = 2.0 * static_cast<double>(d) * static_cast<double>(k + kBlockRows);
  return std::max(kBlockRows, static_cast<std::size_t>(kChunkFlops / std::max(1.0, row_flops)));
}

std::size_t projection_workspace(std::size_t d, std::size_t k, int threads) {
  return projection_layout(d, k, threads, nullptr).bytes;
}

void pack_components(const ProjectionArgs& args, const Context& context) {
  const auto layout =
      projection_layout(args.x.columns, args.components.rows, context.threads, context.workspace.data());
  HWY_DYNAMIC_DISPATCH(pack_all_components)(args.components, layout.components);
}

void project_rows(const ProjectionArgs& args, std::size_t first, std::size_t last, const Context& context) {
  const auto project = HWY_DYNAMIC_DISPATCH(project_block);
  const std::size_t d = args.x.columns;
  const std::size_t k = args.components.rows;
  const auto layout = projection_layout(d, k, context.threads, context.workspace.data());
#pragma omp parallel for schedule(static) num_threads(context.threads) if (worth_threads(last - first, d, k))
  for (std::size_t block = first; block < last; block += kBlockRows) {
    const std::size_t count = std::min(kBlockRows, last - block);
    const auto thread = static_cast<std::size_t>(omp_get_thread_num());
    project(args, args.x.rows_from(block, count), args.scores.rows_from(block, count), layout.components,
            layout.rows + thread * kBlockRows * d, layout.scores + thread * kBlockRows * kSliverMultiple);
  }
}

}  // namespace lexiscope::cpu
#endif
