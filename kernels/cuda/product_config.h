// Into what tiles a product is cut, and whether a library had better compute it: functions of its shape and the device
// alone.
#pragma once

#include <cuda_runtime.h>

#include <array>
#include <cstddef>

#include "lexiscope/tensor.h"

namespace lexiscope::cuda {

/// large keeps the multiprocessor's arithmetic busy; medium and skinny give more of them something to do.
enum class TileKind { large, medium, skinny };

class CublasLtProduct;

struct ProductConfig {
  TileKind tile = TileKind::large;
  CublasLtProduct* library = nullptr;  ///< computes the product where it is not null; outlives the call
  bool library_is_faster = false;      ///< than our kernels, as far as is known
};

struct ProductShape {
  std::size_t rows;     ///< T
  std::size_t columns;  ///< out
  std::size_t depth;    ///< in
  DType dtype;          ///< of the weights: bf16 goes to tensor cores
  bool gated = false;   ///< two weights, whose sums a tile holds side by side
};

/// Sums of a block, and the share of the arithmetic's peak that its main loop reaches.
struct TileSize {
  std::size_t rows, columns;
  double share;
};

/// The shares are those of the compiled loops under the model of scripts/sass_report.py, A100: what bounds the smaller
/// tiles is shared memory.
constexpr TileSize tile_size(TileKind tile, DType dtype) {
  constexpr std::array<TileSize, 3> kTensor{{{128, 128, 1}, {64, 64, 0.67}, {16, 128, 0.38}}};
  constexpr std::array<TileSize, 3> kFma{{{128, 64, 1}, {64, 64, 0.99}, {16, 128, 0.7}}};
  return (dtype == DType::bf16 ? kTensor : kFma)[static_cast<std::size_t>(tile)];
}

/// Whether cuBLASLt ends before our kernels do. Its main loops are ahead, but a launch and what an activation's pass of
/// its own moves are to be won back: by many products, and by a deep contraction, as that pass is paid for by the sum.
/// The borders lie between the shapes that linear_cuda of lexiscope-bench takes, by their times on H200.
constexpr bool library_is_faster(const ProductShape& shape) {
  constexpr std::size_t kLeastRows = 256;
  constexpr double kLeastProducts = 0x1p30;
  const std::size_t least_depth = shape.dtype == DType::bf16 ? 384 : 512;
  const double products =
      static_cast<double>(shape.rows) * static_cast<double>(shape.columns) * static_cast<double>(shape.depth);
  return shape.rows >= kLeastRows && shape.depth >= least_depth &&
         (shape.gated ? 2 * products : products) >= kLeastProducts;
}

/// The tile that ends first: of the blocks, each multiprocessor has an equal share or one more, whose sums it computes
/// one after the other.
constexpr ProductConfig choose_product_config(const ProductShape& shape, const cudaDeviceProp& device) {
  const auto processors = static_cast<std::size_t>(device.multiProcessorCount);
  const std::size_t columns = shape.gated ? 2 * shape.columns : shape.columns;
  const auto up = [](std::size_t value, std::size_t step) { return (value + step - 1) / step; };
  ProductConfig best{.library_is_faster = library_is_faster(shape)};
  double least = 0;
  for (const TileKind tile : {TileKind::large, TileKind::medium, TileKind::skinny}) {
    const TileSize size = tile_size(tile, shape.dtype);
    const std::size_t blocks = up(shape.rows, size.rows) * up(columns, size.columns);
    const double time = static_cast<double>(up(blocks, processors) * size.rows * size.columns) / size.share;
    if (least == 0 || time < least) {
      best.tile = tile;
      least = time;
    }
  }
  return best;
}

}  // namespace lexiscope::cuda
