// The eigendecomposition around a library's: a copy of the matrix before it, and order and signs after it.
#include "kernels/cuda/column_slices.cuh"
#include "kernels/cuda/eigendecomposition.h"
#include "kernels/cuda/row_pieces.cuh"

namespace lexiscope::cuda {
namespace {

constexpr unsigned kVectorThreads = 256;
constexpr unsigned kVectorWarps = kVectorThreads / kWarpSize;

__global__ void __launch_bounds__(kRowPieceThreads)
    copy_lower_triangle_kernel(MatrixView<const double> matrix, double* to, unsigned long long* first_not_finite) {
  for_each_row_pack<1>(matrix.rows, matrix.columns, [&](std::size_t row, std::size_t column) {
    const std::size_t place = row * matrix.columns + column;
    const double value = column <= row ? matrix.row(row)[column] : 0;
    if (!isfinite(value)) atomicMin(first_not_finite, static_cast<unsigned long long>(place));
    to[place] = value;
  });
}

__global__ void __launch_bounds__(kColumnThreads) finish_values_kernel(const double* values, VectorView<double> to) {
  const std::size_t j = this_column();
  if (j < to.size) to[j] = fmax(0.0, values[to.size - 1 - j]);
}

// A component, and where it is; the first of several of one magnitude counts as the largest.
struct Component {
  double value = 0;
  unsigned long long index = kAllFinite;

  __device__ bool beats(const Component& other) const {
    return fabs(value) > fabs(other.value) || (fabs(value) == fabs(other.value) && index < other.index);
  }
};

__device__ Component largest_of_warp(Component largest) {
#pragma unroll
  for (unsigned offset = kWarpSize / 2; offset > 0; offset /= 2) {
    const Component other{__shfl_xor_sync(kWholeWarp, largest.value, offset),
                          __shfl_xor_sync(kWholeWarp, largest.index, offset)};
    if (other.beats(largest)) largest = other;
  }
  return largest;
}

struct LargestOfWarps {
  double values[kVectorWarps];
  unsigned long long indices[kVectorWarps];
};

// The largest component of a vector of d, the same for every thread of the block.
__device__ double largest_component(const double* vector, std::size_t d) {
  Component largest;
  for (std::size_t a = threadIdx.x; a < d; a += kVectorThreads) {
    const Component component{vector[a], a};
    if (component.beats(largest)) largest = component;
  }
  largest = largest_of_warp(largest);
  auto& of_warps = shared_memory<LargestOfWarps>();
  if (threadIdx.x % kWarpSize == 0) {
    of_warps.values[threadIdx.x / kWarpSize] = largest.value;
    of_warps.indices[threadIdx.x / kWarpSize] = largest.index;
  }
  __syncthreads();
  const unsigned warp = threadIdx.x % kVectorWarps;
  return largest_of_warp({of_warps.values[warp], of_warps.indices[warp]}).value;
}

// A block for each vector; the largest eigenvalue's lies last.
__global__ void __launch_bounds__(kVectorThreads) finish_vectors_kernel(const double* vectors, MatrixView<double> to) {
  const std::size_t j = blockIdx.x, d = to.columns;
  const double* vector = vectors + (d - 1 - j) * d;
  const double sign = largest_component(vector, d) < 0 ? -1 : 1;
  for (std::size_t a = threadIdx.x; a < d; a += kVectorThreads) to.row(j)[a] = sign * vector[a];
}

}  // namespace

void copy_lower_triangle(MatrixView<const double> matrix, double* to, unsigned long long* first_not_finite,
                         cudaStream_t stream) {
  launch("copy_lower_triangle", copy_lower_triangle_kernel, row_piece_shape(matrix.rows, matrix.columns, 1), stream,
         matrix, to, first_not_finite);
}

void finish_eigendecomposition(const EigendecompositionArgs& args, const double* values, const double* vectors,
                               cudaStream_t stream) {
  launch("finish_values", finish_values_kernel, column_shape(args.eigenvalues.size, 1), stream, values,
         args.eigenvalues);
  const std::size_t k = args.eigenvectors.rows;
  if (k == 0) return;
  launch("finish_vectors", finish_vectors_kernel,
         {.blocks = static_cast<unsigned>(k), .threads = kVectorThreads, .shared_bytes = sizeof(LargestOfWarps)},
         stream, vectors, args.eigenvectors);
}

}  // namespace lexiscope::cuda
