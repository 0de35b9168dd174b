#include "kernels/cuda/column_slices.cuh"

namespace lexiscope::cuda {
namespace {

__global__ void __launch_bounds__(kColumnThreads)
    add_slices_kernel(const double* partial, std::size_t slices, std::size_t columns, double* sums) {
  const std::size_t column = this_column();
  if (column >= columns) return;
  double sum = sums[column];
#pragma unroll 4
  for (std::size_t slice = 0; slice < slices; ++slice) sum += partial[slice * columns + column];
  sums[column] = sum;
}

}  // namespace

void add_slices(const double* partial, std::size_t slices, std::size_t columns, double* sums, cudaStream_t stream) {
  launch("add_slices", add_slices_kernel, column_shape(columns, 1), stream, partial, slices, columns, sums);
}

}  // namespace lexiscope::cuda
