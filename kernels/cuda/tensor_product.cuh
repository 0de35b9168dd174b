// The product in bf16 on tensor cores: mma m16n8k16, whose sums are f32.
//
//   global -> shared   cp.async, kStages - 1 tiles ahead
//   shared -> fragment ldmatrix, one step of 16 ahead, so that no mma waits
//   fragment -> sums   mma; a fragment of x serves all of the warp's columns, one of W all of its rows
//
// What decides is how much shared memory is read for an mma: a warp of 64 x 64 sums reads 128 bytes for each, two
// thirds of what shared memory gives in an mma's time; a warp of 32 x 32 twice that.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/pack.h"
#include "kernels/cuda/product_tile.cuh"

namespace lexiscope::cuda {

/// A gated product has two sums for each column of the output, one from each weight, and so half the columns a tile.
template <typename Tile, bool kGated>
class TensorProduct {
  static constexpr unsigned kParts = kGated ? 2 : 1;

 public:
  using Element = std::uint16_t;  // bf16 as its bits
  static constexpr unsigned kRows = Tile::kRows, kColumns = Tile::kColumns / kParts;
  static constexpr unsigned kThreads = Tile::kThreads, kBlocks = Tile::kBlocks;

 private:
  static constexpr unsigned kSteps = Tile::kDepth / 16;
  static constexpr unsigned kDown = Tile::kWarpRows / 16, kAcross = Tile::kWarpColumns / 8;  // fragments of a warp
  static constexpr unsigned kPairs = kAcross / 2 / kParts;  // ldmatrix reads two fragments of a weight at once
  static constexpr unsigned kWarpColumns = Tile::kWarpColumns / kParts;
  static constexpr unsigned kStripStride = kWarpColumns + 8;  // 8 rows of 4 quads, 8 bytes each, in different banks
  static_assert(kPairs > 0 && kSteps >= 2 && Tile::kStages >= 3);
  using XSource = TileSource<Element, kRows, Tile::kDepth, kThreads>;
  using WeightSource = TileSource<Element, kColumns, Tile::kDepth, kThreads>;

  struct Slot {
    unsigned char x[XSource::kTileBytes];
    unsigned char weight[kParts][WeightSource::kTileBytes];
  };
  class Fragments;

 public:
  union Shared {
    alignas(128) Slot ring[Tile::kStages];
    float strip[Tile::kWarps][kParts][16][kStripStride];
  };

  /// A thread's share of the tile: of fragment [i][j] the rows g and g + 8 in columns 2 q and 2 q + 1, where g = lane /
  /// 4 and q = lane % 4, as mma deals them out.
  struct Sums {
    float values[kDown][kAcross][4];
  };

  static __device__ unsigned row_of(unsigned i, unsigned k) {
    return threadIdx.x / kWarpSize / Tile::kWarpsAcross * Tile::kWarpRows + i * 16 + k / 2 * 8 + threadIdx.x % 32 / 4;
  }
  static __device__ unsigned column_of(unsigned j, unsigned k) {
    return threadIdx.x / kWarpSize % Tile::kWarpsAcross * kWarpColumns + j % (2 * kPairs) * 8 + threadIdx.x % 4 * 2 +
           k % 2;
  }

  /// The whole block calls it; afterwards no thread uses `shared` any more.
  static __device__ void multiply(const ProductOperands<Element>& operands, std::size_t first_row,
                                  std::size_t first_column, Shared& shared, Sums& sums) {
    const SharedAddress ring = shared_address(&shared), last_slot = ring + (Tile::kStages - 1) * sizeof(Slot);
    const auto after = [&](SharedAddress slot) { return slot == last_slot ? ring : slot + sizeof(Slot); };
    XSource x(operands.x, operands.depth, first_row);
    WeightSource weight(operands.weight, operands.depth, first_column);
    WeightSource gate(kGated ? operands.gate : operands.weight, operands.depth, first_column);
    const auto copy = [&](SharedAddress slot) {
      x.copy(slot);
      weight.copy(slot + sizeof(Slot::x));
      if (kGated) gate.copy(slot + (sizeof(Slot::x) + WeightSource::kTileBytes));
      cp_async_commit();
    };

    clear(sums);
#pragma unroll
    for (unsigned i = 0; i < Tile::kStages - 1; ++i) copy(ring + i * sizeof(Slot));
    cp_async_wait<Tile::kStages - 2>();
    __syncthreads();
    Fragments fragments;
    fragments.load(ring, 0, 0);
    SharedAddress read = ring, write = last_slot;
    auto tiles = static_cast<unsigned>((operands.depth + Tile::kDepth - 1) / Tile::kDepth);
#pragma unroll 1
    for (; tiles > 0; --tiles) {  // past the last tile follow tiles of zeros, copied and never multiplied
#pragma unroll
      for (unsigned step = 0; step < kSteps; ++step) {
        if (step + 1 == kSteps) {
          cp_async_wait<Tile::kStages - 2>();
          __syncthreads();  // the next tile is here, and everybody has left this one
          read = after(read);
        }
        fragments.load(read, (step + 1) % kSteps, (step + 1) % 2);
        if (step == 0) {
          copy(write);
          write = after(write);
        }
        fragments.multiply_add(step % 2, sums);
      }
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
    const unsigned first_column = column_of(0, 0) - lane % 4 * 2;
#pragma unroll
    for (unsigned i = 0; i < kDown; ++i) {
      const unsigned first_row = row_of(i, 0) - lane / 4;
#pragma unroll
      for (unsigned j = 0; j < kAcross; ++j)
#pragma unroll
        for (unsigned k = 0; k < 4; k += 2)
          store_pack(&strip[j / (2 * kPairs)][lane / 4 + k / 2 * 8][column_of(j, 0) - first_column],
                     Pack<float, 2>{sums.values[i][j][k], sums.values[i][j][k + 1]});
      __syncwarp();
#pragma unroll 1
      for (unsigned at = lane * 4; at < 16 * kWarpColumns; at += 4 * kWarpSize) {
        const unsigned row = at / kWarpColumns, column = at % kWarpColumns;
        Pack<float, 4> parts[kParts];
        for (unsigned part = 0; part < kParts; ++part) parts[part] = load_pack<4>(&strip[part][row][column]);
        finish(first_row + row, first_column + column, parts);
      }
      __syncwarp();
    }
  }

 private:
  static __device__ void clear(Sums& sums) {
#pragma unroll
    for (unsigned i = 0; i < kDown; ++i)
#pragma unroll
      for (unsigned j = 0; j < kAcross; ++j)
#pragma unroll
        for (unsigned k = 0; k < 4; ++k) sums.values[i][j][k] = 0;
  }

  // Two sets of a warp's fragments: one is multiplied while the other is loaded.
  class Fragments {
   public:
    __device__ Fragments() {
      const unsigned warp = threadIdx.x / kWarpSize, lane = threadIdx.x % kWarpSize;
      const unsigned x_row = warp / Tile::kWarpsAcross * Tile::kWarpRows + lane % 16;
      const unsigned weight_row = warp % Tile::kWarpsAcross * kWarpColumns + lane / 16 * 8 + lane % 8;
#pragma unroll
      for (unsigned step = 0; step < kSteps; ++step) {
        x_offset_[step] = XSource::swizzled(x_row, 2 * step + lane / 16);
        weight_offset_[step] = sizeof(Slot::x) + WeightSource::swizzled(weight_row, 2 * step + lane / 8 % 2);
      }
    }

    __device__ void load(SharedAddress slot, unsigned step, unsigned set) {
#pragma unroll
      for (unsigned i = 0; i < kDown; ++i)
        ldmatrix_x4(x_[set][i], slot + (x_offset_[step] + i * 16 * XSource::kRowBytes));
#pragma unroll
      for (unsigned j = 0; j < kParts * kPairs; ++j)
        ldmatrix_x4(weight_[set][j], slot + (weight_offset_[step] + j / kPairs * WeightSource::kTileBytes +
                                             j % kPairs * 16 * WeightSource::kRowBytes));
    }

    __device__ void multiply_add(unsigned set, Sums& sums) const {
#pragma unroll
      for (unsigned i = 0; i < kDown; ++i)
#pragma unroll
        for (unsigned j = 0; j < kParts * kPairs; ++j) {
          const auto& w = weight_[set][j];
          mma_m16n8k16_bf16(sums.values[i][2 * j], x_[set][i], w[0], w[1]);
          mma_m16n8k16_bf16(sums.values[i][2 * j + 1], x_[set][i], w[2], w[3]);
        }
    }

   private:
    unsigned x_offset_[kSteps], weight_offset_[kSteps];  // bytes from a slot's begin
    std::uint32_t x_[2][kDown][4], weight_[2][kParts * kPairs][4];
  };
};

}  // namespace lexiscope::cuda
