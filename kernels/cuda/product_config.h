// Into what tiles a product is cut: a function of its shape and the device alone.
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
};

struct ProductShape {
  std::size_t rows;     ///< T
  std::size_t columns;  ///< out
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

/// The tile that ends first: of the blocks, each multiprocessor has an equal share or one more, whose sums it computes
/// one after the other.
constexpr ProductConfig choose_product_config(const ProductShape& shape, const cudaDeviceProp& device) {
  const auto processors = static_cast<std::size_t>(device.multiProcessorCount);
  const std::size_t columns = shape.gated ? 2 * shape.columns : shape.columns;
  const auto up = [](std::size_t value, std::size_t step) { return (value + step - 1) / step; };
  ProductConfig best{};
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
