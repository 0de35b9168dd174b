// The cosine statistics of a chunk of rows: a warp takes a row's norm, then a thread has a column of a slice of rows.
// The products with the directions are a library's; a thread has a direction of a slice and takes the largest exponent
// out of its sum, since exp overflows where c . x passes 709.
#include "kernels/cuda/column_slices.cuh"
#include "kernels/cuda/cosine_statistics.h"
#include "kernels/cuda/warp.h"

namespace lexiscope::cuda {
namespace {

constexpr unsigned kNormThreads = 256;

// norm and 1 / norm of each row, in double; 0 and 0 of a zero row.
__global__ void __launch_bounds__(kNormThreads)
    row_norms_kernel(MatrixView<const float> rows, double* norms, double* scales, VectorView<float> rounded) {
  const std::size_t row = std::size_t{blockIdx.x} * (kNormThreads / kWarpSize) + threadIdx.x / kWarpSize;
  if (row >= rows.rows) return;  // a whole warp leaves together
  double squares = 0;
  for (std::size_t a = threadIdx.x % kWarpSize; a < rows.columns; a += kWarpSize) {
    const double value = rows.row(row)[a];
    squares = fma(value, value, squares);
  }
  const double norm = sqrt(warp_sum(squares));
  if (threadIdx.x % kWarpSize != 0) return;
  norms[row] = norm;
  scales[row] = norm > 0 ? 1 / norm : 0;
  if (!rounded.empty()) rounded[row] = static_cast<float>(norm);
}

// Column d stands for the norms.
__global__ void __launch_bounds__(kColumnThreads)
    row_sums_kernel(MatrixView<const float> rows, ColumnSlices slices, const double* norms, const double* scales,
                    double* partial) {
  const std::size_t d = rows.columns, column = this_column();
  if (column > d) return;
  const SliceRows slice = this_slice(rows.rows, slices);
  double sum = 0, other = 0;
  if (column < d) {
#pragma unroll 4
    for (std::size_t row = slice.first; row < slice.last; ++row) {
      const double value = rows.row(row)[column];
      sum += value;
      other = fma(value, scales[row], other);
    }
  } else {
    for (std::size_t row = slice.first; row < slice.last; ++row) {
      sum += norms[row];
      other += norms[row] > 0 ? 1 : 0;
    }
  }
  double* const sums = partial + blockIdx.y * (2 * d + 2);
  sums[column < d ? column : 2 * d] = sum;
  sums[column < d ? d + column : 2 * d + 1] = other;
}

// One partition function: the largest exponent so far, and the sum of exp(exponent - largest).
struct Partition {
  double largest, sum;
};

__global__ void __launch_bounds__(kColumnThreads)
    slice_partitions_kernel(const double* products, std::size_t rows, std::size_t m, ColumnSlices slices,
                            double* partial) {
  const std::size_t j = this_column();
  if (j >= m) return;
  const SliceRows slice = this_slice(rows, slices);
  double most = products[slice.first * m + j], least = most;
  for (std::size_t row = slice.first + 1; row < slice.last; ++row) {
    most = fmax(most, products[row * m + j]);
    least = fmin(least, products[row * m + j]);
  }
  double along = 0, against = 0;
  for (std::size_t row = slice.first; row < slice.last; ++row) {
    const double exponent = products[row * m + j];
    along += exp(exponent - most);
    against += exp(least - exponent);
  }
  double* const to = partial + blockIdx.y * 4 * m + j;
  to[0] = most;
  to[m] = along;
  to[2 * m] = -least;
  to[3 * m] = against;
}

__device__ Partition joined(const Partition& a, const Partition& b) {
  const double largest = fmax(a.largest, b.largest);
  return {largest, a.sum * exp(a.largest - largest) + b.sum * exp(b.largest - largest)};
}

// x counts the directions, y the two sides. The slices' partitions join those before them in their order.
__global__ void __launch_bounds__(kColumnThreads)
    join_partitions_kernel(const double* partial, std::size_t slices, std::size_t m, bool first, double* partitions) {
  const std::size_t j = this_column();
  if (j >= m) return;
  const std::size_t place = blockIdx.y * 2 * m + j;
  const auto of_slice = [&](std::size_t slice) {
    const double* const from = partial + slice * 4 * m + place;
    return Partition{from[0], from[m]};
  };
  std::size_t slice = 0;
  Partition whole = first ? of_slice(slice++) : Partition{partitions[place], partitions[place + m]};
  for (; slice < slices; ++slice) whole = joined(whole, of_slice(slice));
  partitions[place] = whole.largest;
  partitions[place + m] = whole.sum;
}

}  // namespace

void add_to_row_sums(MatrixView<const float> rows, const ColumnSlices& slices, VectorView<float> norms,
                     const RowSums& sums, double* workspace, cudaStream_t stream) {
  constexpr std::size_t kRowsPerBlock = kNormThreads / kWarpSize;
  double *const of_rows = workspace, *const scales = of_rows + rows.rows, *const partial = scales + rows.rows;
  launch("row_norms", row_norms_kernel,
         {.blocks = static_cast<unsigned>((rows.rows + kRowsPerBlock - 1) / kRowsPerBlock), .threads = kNormThreads},
         stream, rows, of_rows, scales, norms);
  launch("row_sums", row_sums_kernel, column_shape(sums.d + 1, slices.count), stream, rows, slices, of_rows, scales,
         partial);
  add_slices(partial, slices.count, RowSums::size(sums.d), sums.data, stream);
}

void add_to_partitions(const double* products, std::size_t rows, const ColumnSlices& slices, bool first,
                       const Partitions& partitions, double* workspace, cudaStream_t stream) {
  launch("slice_partitions", slice_partitions_kernel, column_shape(partitions.m, slices.count), stream, products, rows,
         partitions.m, slices, workspace);
  launch("join_partitions", join_partitions_kernel, column_shape(partitions.m, 2), stream, workspace, slices.count,
         partitions.m, first, partitions.data);
}

}  // namespace lexiscope::cuda
