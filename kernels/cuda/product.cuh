// The product of rows with a weight matrix, tile by tile: what linear layers, perceptrons and the head's certainty have
// in common. A block computes a tile of x W^T in registers; what becomes of the sums is the caller's, so that biases,
// activations, residuals or a softmax follow without the sums going through memory.
//
// TensorProduct multiplies bf16 on tensor cores, FmaProduct f32 with fused multiply-adds. Their interface is one:
//   kRows, kColumns            of the output in a block's tile; kThreads, kBlocks the launch's bounds
//   Sums, Shared               a thread's registers and the block's shared memory
//   multiply(operands, ...)    fills the sums of the tile that begins at a row and a column
//   for_each_piece(sums, ...)  gives them to a functor, four neighbouring columns at a time
#pragma once

#include <cstddef>

#include "kernels/cuda/fma_product.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/tensor_product.cuh"

namespace lexiscope::cuda {

/// One block a tile, blockIdx.x counting tiles of rows and blockIdx.y tiles of columns: blocks that run together share
/// weights. finish(row, column, parts) has what for_each_piece() gives, with rows and columns of the whole output; some
/// of them lie past its end.
template <typename Product, typename Finish>
__global__ void __launch_bounds__(Product::kThreads, Product::kBlocks)
    product_kernel(ProductOperands<typename Product::Element> operands, Finish finish) {
  auto& shared = shared_memory<typename Product::Shared>();
  const std::size_t first_row = std::size_t{blockIdx.x} * Product::kRows;
  const std::size_t first_column = std::size_t{blockIdx.y} * Product::kColumns;
  typename Product::Sums sums;
  Product::multiply(operands, first_row, first_column, shared, sums);
  Product::for_each_piece(sums, shared, [&](unsigned row, unsigned column, const auto& parts) {
    finish(first_row + row, first_column + column, parts);
  });
}

template <typename Product, typename Finish>
void launch_product(const char* name, const ProductOperands<typename Product::Element>& operands, const Finish& finish,
                    cudaStream_t stream) {
  const auto tiles = [](std::size_t size, std::size_t tile) { return static_cast<unsigned>((size + tile - 1) / tile); };
  launch(name, product_kernel<Product, Finish>,
         LaunchShape{
             .blocks = dim3(tiles(operands.x.rows, Product::kRows), tiles(operands.weight.rows, Product::kColumns)),
             .threads = Product::kThreads,
             .shared_bytes = sizeof(typename Product::Shared)},
         stream, operands, finish);
}

}  // namespace lexiscope::cuda
