// From a configuration to a kernel: which product in which tile.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/cuda/product.cuh"
#include "kernels/cuda/product_config.h"

namespace lexiscope::cuda {

template <typename Element>
struct ProductTiles;

template <>
struct ProductTiles<std::uint16_t> {
  using Large = ProductTile<128, 128, 64, 64, 32, 3, 2>;
  using Medium = ProductTile<64, 64, 32, 32, 32, 3, 4>;
  using Skinny = ProductTile<16, 128, 16, 32, 64, 3, 3>;
  static constexpr DType kType = DType::bf16;
  template <typename Tile, bool kGated>
  using Product = TensorProduct<Tile, kGated>;
};

template <>
struct ProductTiles<float> {
  using Large = ProductTile<128, 64, 64, 32, 16, 3, 3>;
  using Medium = ProductTile<64, 64, 32, 32, 16, 3, 4>;
  using Skinny = ProductTile<16, 128, 16, 32, 32, 3, 3>;
  static constexpr DType kType = DType::f32;
  template <typename Tile, bool kGated>
  using Product = FmaProduct<Tile, kGated>;
};

/// Enqueues the product with `finish` behind it.
template <bool kGated, typename Element, typename Finish>
void launch_product(const char* name, const ProductOperands<Element>& operands, const Finish& finish,
                    const ProductConfig& config, cudaStream_t stream) {
  using Tiles = ProductTiles<Element>;
  const auto launch_tile = [&]<typename Tile>(std::type_identity<Tile>) {
    launch_product<typename Tiles::template Product<Tile, kGated>>(name, operands, finish, stream);
  };
  const auto is_size_of = []<typename Tile>(TileKind kind, std::type_identity<Tile>) {
    return tile_size(kind, Tiles::kType).rows == Tile::kRows && tile_size(kind, Tiles::kType).columns == Tile::kColumns;
  };
  static_assert(is_size_of(TileKind::large, std::type_identity<typename Tiles::Large>()));
  static_assert(is_size_of(TileKind::medium, std::type_identity<typename Tiles::Medium>()));
  static_assert(is_size_of(TileKind::skinny, std::type_identity<typename Tiles::Skinny>()));
  switch (config.tile) {
    case TileKind::large:
      return launch_tile(std::type_identity<typename Tiles::Large>());
    case TileKind::medium:
      return launch_tile(std::type_identity<typename Tiles::Medium>());
    case TileKind::skinny:
      return launch_tile(std::type_identity<typename Tiles::Skinny>());
  }
}

}  // namespace lexiscope::cuda
