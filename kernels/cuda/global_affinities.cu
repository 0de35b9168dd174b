// A warp a row, a lane a pair: whatever a pass does with a pair, it computes the same bits, (i, j) as (j, i).
#include <cmath>

#include "kernels/cuda/global_affinities.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/row_offsets.h"
#include "kernels/cuda/warp.h"
#include "kernels/cuda/workspace_cutter.h"

namespace lexiscope::cuda {
namespace {

constexpr unsigned kThreads = 256, kWarps = kThreads / kWarpSize;

struct Layout {
  GlobalAffinitiesSummary* summary;
  double* row_sums;  // [N]
};

Layout cut_layout(WorkspaceCutter& cutter, const GlobalAffinitiesArgs& args) {
  Layout layout{};
  layout.summary = cutter.cut<GlobalAffinitiesSummary>(1);
  layout.row_sums = cutter.cut<double>(args.points.rows);
  return layout;
}

Layout layout_in(void* workspace, const GlobalAffinitiesArgs& args) {
  WorkspaceCutter cutter(workspace);
  return cut_layout(cutter, args);
}

// Rows of a pass, each a warp's.
struct RowRange {
  std::size_t first, last;

  __device__ std::size_t row() const { return first + std::size_t{blockIdx.x} * kWarps + threadIdx.x / kWarpSize; }
  LaunchShape shape() const {
    return {.blocks = static_cast<unsigned>((last - first + kWarps - 1) / kWarps), .threads = kThreads};
  }
};

__device__ double exponent_of(const GlobalAffinitiesArgs& args, std::size_t i, std::size_t j) {
  const float *x = args.points.row(i), *y = args.points.row(j);
  double sum = 0;
  for (std::size_t column = 0; column < args.points.columns; ++column) {
    const double difference = static_cast<double>(x[column]) - static_cast<double>(y[column]);
    sum = fma(difference, difference, sum);
  }
  return sum * (-1 / (2 * static_cast<double>(args.sigma) * static_cast<double>(args.sigma)));
}

__global__ void __launch_bounds__(kThreads) sum_kernel(GlobalAffinitiesArgs args, RowRange rows, double* row_sums) {
  const std::size_t i = rows.row();
  if (i >= rows.last) return;
  double sum = 0;
  for (std::size_t j = threadIdx.x % kWarpSize; j < args.points.rows; j += kWarpSize)
    if (j != i) sum += exp(exponent_of(args, i, j));
  sum = warp_sum(sum);
  if (threadIdx.x % kWarpSize == 0) row_sums[i] = sum;
}

struct TotalShared {
  double sums[kWarps];
};

// By one block, in one order.
__global__ void __launch_bounds__(kThreads)
    total_kernel(const double* row_sums, std::size_t rows, GlobalAffinitiesSummary* summary) {
  auto& shared = shared_memory<TotalShared>();
  double sum = 0;
  for (std::size_t row = threadIdx.x; row < rows; row += kThreads) sum += row_sums[row];
  sum = warp_sum(sum);
  if (threadIdx.x % kWarpSize == 0) shared.sums[threadIdx.x / kWarpSize] = sum;
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (unsigned warp = 1; warp < kWarps; ++warp) sum += shared.sums[warp];
  summary->sum = sum;
}

// visit(j, value, place) for the pairs of row i that are not 0 in f32, places counted from 0; how many there are. All
// lanes take part.
template <typename Visit>
__device__ std::size_t for_each_entry(const GlobalAffinitiesArgs& args, std::size_t i, double log_sum,
                                      const Visit& visit) {
  const unsigned lane = threadIdx.x % kWarpSize;
  std::size_t entries = 0;
  for (std::size_t first = 0; first < args.points.rows; first += kWarpSize) {
    const std::size_t j = first + lane;
    const float value = j < args.points.rows && j != i ? static_cast<float>(exp(exponent_of(args, i, j) - log_sum)) : 0;
    const unsigned staying = __ballot_sync(kWholeWarp, value > 0);
    if (value > 0) visit(j, value, entries + static_cast<unsigned>(__popc(staying & ((1u << lane) - 1))));
    entries += static_cast<unsigned>(__popc(staying));
  }
  return entries;
}

__global__ void __launch_bounds__(kThreads)
    count_kernel(GlobalAffinitiesArgs args, RowRange rows, const GlobalAffinitiesSummary* summary,
                 std::int64_t* row_offsets) {
  const std::size_t i = rows.row();
  if (i >= rows.last) return;
  const std::size_t entries = for_each_entry(args, i, log(summary->sum), [](std::size_t, float, std::size_t) {});
  if (threadIdx.x % kWarpSize == 0) row_offsets[i + 1] = static_cast<std::int64_t>(entries);
}

__global__ void __launch_bounds__(kThreads)
    fill_kernel(GlobalAffinitiesArgs args, RowRange rows, const GlobalAffinitiesSummary* summary,
                const std::int64_t* row_offsets, std::int32_t* columns, float* values) {
  const std::size_t i = rows.row();
  if (i >= rows.last) return;
  const auto offset = static_cast<std::size_t>(row_offsets[i]);
  for_each_entry(args, i, log(summary->sum), [&](std::size_t j, float value, std::size_t place) {
    columns[offset + place] = static_cast<std::int32_t>(j);
    values[offset + place] = value;
  });
}

}  // namespace

std::size_t global_affinities_workspace(const GlobalAffinitiesArgs& args) {
  WorkspaceCutter cutter(nullptr);
  cut_layout(cutter, args);
  return cutter.used();
}

const GlobalAffinitiesSummary* global_affinities_summary(const GlobalAffinitiesArgs& args, void* workspace) {
  return layout_in(workspace, args).summary;
}

void sum_global_affinities(const GlobalAffinitiesArgs& args, std::size_t first, std::size_t last, void* workspace,
                           cudaStream_t stream) {
  const RowRange rows{first, last};
  launch("global_affinities_sum", sum_kernel, rows.shape(), stream, args, rows, layout_in(workspace, args).row_sums);
}

void add_global_sums(const GlobalAffinitiesArgs& args, void* workspace, cudaStream_t stream) {
  const Layout layout = layout_in(workspace, args);
  launch("global_affinities_total", total_kernel,
         {.blocks = 1, .threads = kThreads, .shared_bytes = sizeof(TotalShared)}, stream, layout.row_sums,
         args.points.rows, layout.summary);
}

void count_global_affinities(const GlobalAffinitiesArgs& args, std::int64_t* row_offsets, std::size_t first,
                             std::size_t last, void* workspace, cudaStream_t stream) {
  const RowRange rows{first, last};
  launch("global_affinities_count", count_kernel, rows.shape(), stream, args, rows, layout_in(workspace, args).summary,
         row_offsets);
}

void scan_global_offsets(const GlobalAffinitiesArgs& args, std::int64_t* row_offsets, void* workspace,
                         cudaStream_t stream) {
  scan_row_offsets(row_offsets, args.points.rows, &layout_in(workspace, args).summary->entries, stream);
}

void fill_global_affinities(const GlobalAffinitiesArgs& args, const std::int64_t* row_offsets, std::int32_t* columns,
                            float* values, std::size_t first, std::size_t last, void* workspace, cudaStream_t stream) {
  const RowRange rows{first, last};
  launch("global_affinities_fill", fill_kernel, rows.shape(), stream, args, rows, layout_in(workspace, args).summary,
         row_offsets, columns, values);
}

}  // namespace lexiscope::cuda
