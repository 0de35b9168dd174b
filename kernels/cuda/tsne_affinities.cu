#include "kernels/cuda/launch.h"
#include "kernels/cuda/tsne_affinities.h"
#include "kernels/cuda/warp.h"

namespace lexiscope::cuda {
namespace {

constexpr unsigned kThreads = 256;

__device__ bool is_entry(const CompressedRows& matrix, std::size_t row, std::int64_t first, std::int64_t e) {
  const std::int32_t column = matrix.columns[e];
  const float value = matrix.values[e];
  return column >= 0 && static_cast<std::size_t>(column) < matrix.rows && static_cast<std::size_t>(column) != row &&
         (e == first || matrix.columns[e - 1] < column) && isfinite(value) && value >= 0;
}

// A warp a row.
__global__ void __launch_bounds__(kThreads)
    take_affinities_kernel(CompressedRows matrix, TsneEdge* edges, unsigned* faulty) {
  const std::size_t row = (std::size_t{blockIdx.x} * kThreads + threadIdx.x) / kWarpSize;
  if (row >= matrix.rows) return;
  const auto entries = static_cast<std::int64_t>(matrix.entries);
  const std::int64_t first = matrix.row_offsets[row], last = matrix.row_offsets[row + 1];
  bool right = first >= 0 && first <= last && last <= entries && (row > 0 || first == 0) &&
               (row + 1 < matrix.rows || last == entries);
  if (right)
    for (std::int64_t e = first + threadIdx.x % kWarpSize; e < last; e += kWarpSize) {
      right = right && is_entry(matrix, row, first, e);
      if (edges) edges[e] = {static_cast<std::uint32_t>(matrix.columns[e]), matrix.values[e]};
    }
  if (!right) atomicOr(faulty, 1u);
}

}  // namespace

void tsne_take_affinities(const CompressedRows& matrix, TsneEdge* edges, unsigned* faulty, cudaStream_t stream) {
  constexpr std::size_t kRowsPerBlock = kThreads / kWarpSize;
  launch("tsne_take_affinities", take_affinities_kernel,
         {.blocks = static_cast<unsigned>((matrix.rows + kRowsPerBlock - 1) / kRowsPerBlock), .threads = kThreads},
         stream, matrix, edges, faulty);
}

}  // namespace lexiscope::cuda
