// Tiles of 64 x 64 inner products of rows, such as the scores of queries and keys: rows of any element type, stride and
// alignment pass through shared memory in panels, and every product is summed in f32 in the order of the columns.
//
// f32 is multiplied by fused multiply-adds, bf16 and f16 on tensor cores, where products are exact.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "kernels/cuda/instructions.h"
#include "kernels/cuda/pack.h"
#include "kernels/cuda/warp.h"
#include "simt/cuda.h"

namespace lexiscope::cuda {

inline constexpr unsigned kTile = 64;          ///< rows of a tile, and its columns
inline constexpr unsigned kTileThreads = 128;  ///< of a block that multiplies tiles
inline constexpr unsigned kPanelPieces = 8;    ///< of 16 bytes in a row of a panel

/// Rows that a kernel reads. Where a kernel is told that they are aligned, every row begins at a multiple of 16 bytes
/// and is one long.
template <typename Element>
struct Rows {
  const Element* data;
  std::size_t stride;  ///< elements from row to row
  unsigned count, columns;
};

/// 64 rows of 128 bytes. Piece p of row r lies at p ^ (r % 8), so that neighbouring rows' pieces of one column lie in
/// different banks.
struct alignas(128) Panel {
  static constexpr unsigned kRowBytes = kPanelPieces * 16;
  unsigned char bytes[kTile * kRowBytes];

  static constexpr __device__ unsigned at(unsigned row, unsigned piece) {
    return row * kRowBytes + (piece ^ (row % kPanelPieces)) * 16;
  }
};

template <typename Element>
inline constexpr unsigned kPieceElements = 16 / sizeof(Element);
template <typename Element>
inline constexpr unsigned kPanelColumns = kPanelPieces* kPieceElements<Element>;

/// Brings the piece of `rows` that begins at (row, column) to `to`; what lies outside is 0. Aligned pieces arrive when
/// their cp.async group does, others at once.
template <bool kAligned, typename Element>
__device__ __forceinline__ void stage_piece(void* to, const Rows<Element>& rows, unsigned row, unsigned column) {
  const bool inside = row < rows.count && column < rows.columns;
  const Element* from = rows.data + (inside ? row * rows.stride + column : 0);
  if constexpr (kAligned) {
    cp_async_16_or_zero(shared_address(to), from, inside);
  } else {
    using Bits = std::conditional_t<std::is_same_v<Element, float>, float, std::uint16_t>;
    for (unsigned e = 0; e < kPieceElements<Element>; ++e)
      static_cast<Bits*>(to)[e] =
          inside && column + e < rows.columns ? reinterpret_cast<const Bits*>(from)[e] : Bits{0};
  }
}

/// Brings 64 rows from `first_row` on, one panel's columns from `first_column` on.
template <bool kAligned, unsigned kThreads, typename Element>
__device__ __forceinline__ void stage_panel(Panel& panel, const Rows<Element>& rows, unsigned first_row,
                                            unsigned first_column) {
  const unsigned piece = threadIdx.x % kPanelPieces;
#pragma unroll
  for (unsigned row = threadIdx.x / kPanelPieces; row < kTile; row += kThreads / kPanelPieces)
    stage_piece<kAligned>(panel.bytes + Panel::at(row, piece), rows, first_row + row,
                          first_column + piece * kPieceElements<Element>);
}

/// sums[r][c] += left row . right row over a panel's columns of f32, in their order: of the rows row_of_thread + r *
/// kStep and the columns threadIdx.x % 16 + 16 c, with row_of_thread = threadIdx.x / 16 below kStep, a multiple of 8.
template <unsigned kRows, unsigned kStep>
__device__ __forceinline__ void multiply_f32(const Panel& left, const Panel& right, float (&sums)[kRows][4]) {
  const unsigned row = threadIdx.x / 16, column = threadIdx.x % 16;
  const auto read = [](const unsigned char* at) { return load_pack<4>(reinterpret_cast<const float*>(at)); };
#pragma unroll
  for (unsigned piece = 0; piece < kPanelPieces; ++piece) {
    Pack<float, 4> y[4];
#pragma unroll
    for (unsigned c = 0; c < 4; ++c) y[c] = read(right.bytes + Panel::at(column, piece) + 16 * c * Panel::kRowBytes);
#pragma unroll
    for (unsigned r = 0; r < kRows; ++r) {
      const auto x = read(left.bytes + Panel::at(row, piece) + kStep * r * Panel::kRowBytes);
#pragma unroll
      for (unsigned c = 0; c < 4; ++c)
#pragma unroll
        for (unsigned k = 0; k < 4; ++k) sums[r][c] = fmaf(x.values[k], y[c].values[k], sums[r][c]);
    }
  }
}

/// The products of a tile that one thread holds; where they lie in it depends on the element type.
using Products = float[8][4];

/// bf16 and f16: a warp has 16 rows, in fragments of 16 x 8.
template <typename Element>
struct TileProduct {
  static __device__ unsigned row(unsigned, unsigned k) {
    return threadIdx.x / kWarpSize * 16 + threadIdx.x % kWarpSize / 4 + k / 2 * 8;
  }
  static __device__ unsigned column(unsigned i, unsigned k) { return i * 8 + threadIdx.x % 4 * 2 + k % 2; }

  static __device__ __forceinline__ void multiply(const Panel& left, const Panel& right, Products& products) {
    const unsigned warp = threadIdx.x / kWarpSize, lane = threadIdx.x % kWarpSize;
#pragma unroll
    for (unsigned step = 0; step < kPanelPieces / 2; ++step) {
      std::uint32_t x[4];
      ldmatrix_x4(x, shared_address(left.bytes + Panel::at(warp * 16 + lane % 16, 2 * step + lane / 16)));
#pragma unroll
      for (unsigned pair = 0; pair < kTile / 16; ++pair) {
        std::uint32_t y[4];
        const unsigned at = Panel::at(lane % 8 + lane / 16 * 8, 2 * step + lane / 8 % 2);
        ldmatrix_x4(y, shared_address(right.bytes + at + pair * 16 * Panel::kRowBytes));
        multiply_add(products[2 * pair], x, y[0], y[1]);
        multiply_add(products[2 * pair + 1], x, y[2], y[3]);
      }
    }
  }

 private:
  static __device__ __forceinline__ void multiply_add(float (&sums)[4], const std::uint32_t (&x)[4], std::uint32_t y0,
                                                      std::uint32_t y1) {
    if constexpr (std::is_same_v<Element, __nv_bfloat16>)
      mma_m16n8k16_bf16(sums, x, y0, y1);
    else
      mma_m16n8k16_f16(sums, x, y0, y1);
  }
};

template <>
struct TileProduct<float> {
  static __device__ unsigned row(unsigned i, unsigned) { return threadIdx.x / 16 + 8 * i; }
  static __device__ unsigned column(unsigned, unsigned k) { return threadIdx.x % 16 + 16 * k; }
  static __device__ __forceinline__ void multiply(const Panel& left, const Panel& right, Products& products) {
    multiply_f32<8, 8>(left, right, products);
  }
};

struct PanelPair {
  Panel left, right;
};

struct TileOrigin {
  unsigned row, column;  ///< of the tile's first product
};

/// Calls consume(origin, products) for the tiles 0 .. count - 1 of left right^T in turn; origin_of(n) says where the
/// n-th begins. While one pair of panels is multiplied the next one is fetched, the next tile's first too. All threads
/// of the block take part; `ring` is free again on return.
template <bool kAligned, typename Element, typename OriginOf, typename Consume>
__device__ __forceinline__ void for_each_tile(PanelPair (&ring)[2], const Rows<Element>& left,
                                              const Rows<Element>& right, unsigned count, OriginOf origin_of,
                                              Consume consume) {
  if (count == 0) return;
  const unsigned columns = left.columns;
  const auto stage = [&](PanelPair& to, const TileOrigin& origin, unsigned column) {
    stage_panel<kAligned, kTileThreads>(to.left, left, origin.row, column);
    stage_panel<kAligned, kTileThreads>(to.right, right, origin.column, column);
    cp_async_commit();
  };
  TileOrigin origin = origin_of(0u);
  stage(ring[0], origin, 0);
  unsigned slot = 0;
#pragma unroll 1
  for (unsigned n = 0; n < count; ++n) {
    const TileOrigin next = n + 1 < count ? origin_of(n + 1) : origin;
    Products products = {};
#pragma unroll 1
    for (unsigned column = 0; column < columns; column += kPanelColumns<Element>) {
      cp_async_wait<0>();
      __syncthreads();  // this pair is here, and everybody has left the other one
      if (column + kPanelColumns<Element> < columns)
        stage(ring[slot ^ 1], origin, column + kPanelColumns<Element>);
      else if (n + 1 < count)
        stage(ring[slot ^ 1], next, 0);
      TileProduct<Element>::multiply(ring[slot].left, ring[slot].right, products);
      slot ^= 1;
    }
    consume(origin, products);
    origin = next;
  }
  __syncthreads();
}

}  // namespace lexiscope::cuda
