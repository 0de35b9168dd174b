// The product in f32, with fused multiply-adds: every sum is one chain over the contraction, so the bound for sums of
// f32 in any order holds.
//
// A thread has kDown rows and kAcross columns of a warp's tile. It reads four steps of the contraction at once, 16
// bytes of each of its rows of x and of W; lanes side by side read eight rows of x and the same row of W, so that no
// bank is asked twice.
#pragma once

#include <cstddef>

#include "kernels/cuda/pack.h"
#include "kernels/cuda/product_tile.cuh"

namespace lexiscope::cuda {

/// A gated product has two sums for each column of the output, one from each weight, and so half the columns a tile.
template <typename Tile, bool kGated>
class FmaProduct {
  static constexpr unsigned kParts = kGated ? 2 : 1;

 public:
  using Element = float;
  static constexpr unsigned kRows = Tile::kRows, kColumns = Tile::kColumns / kParts;
  static constexpr unsigned kThreads = Tile::kThreads, kBlocks = Tile::kBlocks;

 private:
  static constexpr unsigned kDown = Tile::kWarpRows / 8, kAcross = Tile::kWarpColumns / 4;  // of a thread
  static constexpr unsigned kWarpColumns = Tile::kWarpColumns / kParts;
  static constexpr unsigned kPartAcross = kAcross / kParts;
  static constexpr unsigned kStripStride = kWarpColumns + 4;
  static constexpr unsigned kUnrolledPieces = 512 / (kDown * kAcross * 4);  // 512 multiply-adds are 8 KiB of code
  static_assert(kPartAcross % 4 == 0 && Tile::kStages >= 2);
  using XSource = TileSource<Element, kRows, Tile::kDepth, kThreads>;
  using WeightSource = TileSource<Element, kColumns, Tile::kDepth, kThreads>;

  struct Slot {
    unsigned char x[XSource::kTileBytes];
    unsigned char weight[kParts][WeightSource::kTileBytes];
  };

 public:
  union Shared {
    alignas(128) Slot ring[Tile::kStages];
    float strip[Tile::kWarps][kParts][8][kStripStride];
  };

  /// A thread's share of the tile: rows row_of(i), columns column_of(j); from kAcross / 2 on j counts the gate's.
  struct Sums {
    float values[kDown][kAcross];
  };

  static __device__ unsigned row_of(unsigned i) {
    return threadIdx.x / kWarpSize / Tile::kWarpsAcross * Tile::kWarpRows + i * 8 + threadIdx.x % 8;
  }
  static __device__ unsigned column_of(unsigned j) {
    return threadIdx.x / kWarpSize % Tile::kWarpsAcross * kWarpColumns + j % kPartAcross / 4 * 16 +
           threadIdx.x % kWarpSize / 8 * 4 + j % 4;
  }

  /// The whole block calls it; afterwards no thread uses `shared` any more.
  static __device__ void multiply(const ProductOperands<Element>& operands, std::size_t first_row,
                                  std::size_t first_column, Shared& shared, Sums& sums) {
    XSource x(operands.x, operands.depth, first_row);
    WeightSource weight(operands.weight, operands.depth, first_column);
    WeightSource gate(kGated ? operands.gate : operands.weight, operands.depth, first_column);
    const auto copy = [&](unsigned slot) {
      x.copy(shared_address(shared.ring[slot].x));
      weight.copy(shared_address(shared.ring[slot].weight[0]));
      if (kGated) gate.copy(shared_address(shared.ring[slot].weight[kParts - 1]));
      cp_async_commit();
    };

#pragma unroll
    for (unsigned i = 0; i < kDown; ++i)
#pragma unroll
      for (unsigned j = 0; j < kAcross; ++j) sums.values[i][j] = 0;
#pragma unroll
    for (unsigned i = 0; i < Tile::kStages - 1; ++i) copy(i);
    unsigned read = 0, write = Tile::kStages - 1;
    auto tiles = static_cast<unsigned>((operands.depth + Tile::kDepth - 1) / Tile::kDepth);
#pragma unroll 1
    for (; tiles > 0; --tiles) {  // past the last tile follow tiles of zeros, copied and never multiplied
      cp_async_wait<Tile::kStages - 2>();
      __syncthreads();  // slot `read` is here, and everybody has left slot `write`
      copy(write);
      multiply_add(shared.ring[read], sums);
      write = read;
      read = read + 1 == Tile::kStages ? 0 : read + 1;
    }
    cp_async_wait<0>();
    __syncthreads();
  }

  /// Calls finish(row, column, parts) for each four columns of the tile, with the sums of every weight in parts: [0] of
  /// `weight`, [1] of `gate`. Rows go through shared memory, so that a warp has whole rows to store.
  template <typename Finish>
  static __device__ void for_each_piece(const Sums& sums, Shared& shared, const Finish& finish) {
    const unsigned lane = threadIdx.x % kWarpSize;
    auto& strip = shared.strip[threadIdx.x / kWarpSize];
    const unsigned first_column = column_of(0) - lane / 8 * 4;
#pragma unroll
    for (unsigned i = 0; i < kDown; ++i) {
      const unsigned first_row = row_of(i) - lane % 8;
#pragma unroll
      for (unsigned j = 0; j < kAcross; j += 4)
        store_pack(
            &strip[j / kPartAcross][lane % 8][column_of(j) - first_column],
            Pack<float, 4>{sums.values[i][j], sums.values[i][j + 1], sums.values[i][j + 2], sums.values[i][j + 3]});
      __syncwarp();
#pragma unroll 1
      for (unsigned at = lane * 4; at < 8 * kWarpColumns; at += 4 * kWarpSize) {
        const unsigned row = at / kWarpColumns, column = at % kWarpColumns;
        Pack<float, 4> parts[kParts];
        for (unsigned part = 0; part < kParts; ++part) parts[part] = load_pack<4>(&strip[part][row][column]);
        finish(first_row + row, first_column + column, parts);
      }
      __syncwarp();
    }
  }

 private:
  // Where a thread's rows lie in a tile differs by constants: in x twist() is the same for rows 8 apart, in W
  // twist(c + j) is twist(c) ^ twist(j) for j < 4, since c is a multiple of 4.
  static __device__ void multiply_add(const Slot& slot, Sums& sums) {
    const unsigned first_x = XSource::swizzled(row_of(0), 0), first_weight = WeightSource::swizzled(column_of(0), 0);
#pragma unroll(kUnrolledPieces)
    for (unsigned piece = 0; piece < XSource::kPieces; ++piece) {
      Pack<float, 4> x[kDown];
      const unsigned char* x_at = slot.x + (first_x ^ piece * kPieceBytes);
#pragma unroll
      for (unsigned i = 0; i < kDown; ++i) x[i] = read(x_at + i * 8 * XSource::kRowBytes);
#pragma unroll
      for (unsigned j = 0; j < kAcross; ++j) {
        const unsigned char* weight_at =
            slot.weight[j / kPartAcross] + (first_weight ^ (piece ^ WeightSource::twist(j % 4)) * kPieceBytes);
        const auto w = read(weight_at + (j % 4 + j % kPartAcross / 4 * 16) * WeightSource::kRowBytes);
#pragma unroll
        for (unsigned i = 0; i < kDown; ++i)
#pragma unroll
          for (unsigned k = 0; k < 4; ++k) sums.values[i][j] = fmaf(x[i].values[k], w.values[k], sums.values[i][j]);
      }
    }
  }

  static __device__ Pack<float, 4> read(const unsigned char* at) {
    return load_pack<4>(reinterpret_cast<const float*>(at));
  }
};

}  // namespace lexiscope::cuda
