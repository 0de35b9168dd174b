// What the products on tensor cores and on ordinary ones share: how a tile is cut, and the way of its operands from
// device memory to shared memory.
#pragma once

#include <cstddef>

#include "kernels/cuda/instructions.h"
#include "kernels/cuda/warp.h"
#include "simt/cuda.h"

namespace lexiscope::cuda {

inline constexpr unsigned kPieceBytes = 16;

/// Rows of f32, or of bf16 as its bits, each of them whole pieces of 16 bytes; at least one row.
template <typename Element>
struct PieceRows {
  const Element* data = nullptr;  ///< device memory [rows, depth], aligned to 16 bytes
  std::size_t rows = 0;
  std::size_t stride = 0;  ///< elements from row to row: whole pieces, below kMostStride
};

inline constexpr std::size_t kMostStride = std::size_t{1} << 24;  // 256 rows lie within 2^32 elements

/// x [T, in] and W [out, in]; in a gated product a second W of the same shape. Of each row `depth` elements, whole
/// pieces, are multiplied: `in` and then zeros.
template <typename Element>
struct ProductOperands {
  PieceRows<Element> x, weight, gate{};
  std::size_t depth = 0;
};

/// How a product is cut: a tile of kRows x kColumns sums for a block, of kWarpRows x kWarpColumns for a warp. The
/// contraction goes in steps of kDepth through a ring of kStages slots; kBlocks blocks share a multiprocessor.
template <unsigned kRows_, unsigned kColumns_, unsigned kWarpRows_, unsigned kWarpColumns_, unsigned kDepth_,
          unsigned kStages_, unsigned kBlocks_>
struct ProductTile {
  static constexpr unsigned kRows = kRows_, kColumns = kColumns_, kWarpRows = kWarpRows_, kWarpColumns = kWarpColumns_;
  static constexpr unsigned kDepth = kDepth_, kStages = kStages_, kBlocks = kBlocks_;
  static constexpr unsigned kWarpsAcross = kColumns / kWarpColumns, kWarps = kRows / kWarpRows * kWarpsAcross;
  static constexpr unsigned kThreads = kWarps * kWarpSize;
};

/// The tiles of one operand, kRows rows of kDepth elements each, one after the other. Every thread copies the same
/// piece of several rows. A row past the matrix's last is a copy of that, since what it gives is not stored; a piece
/// past a row's end is zero, since what it gives is added.
template <typename Element, unsigned kRows, unsigned kDepth, unsigned kThreads>
class TileSource {
 public:
  static constexpr unsigned kPieceElements = kPieceBytes / sizeof(Element);
  static constexpr unsigned kPieces = kDepth / kPieceElements;
  static constexpr unsigned kRowBytes = kPieces * kPieceBytes;
  static constexpr unsigned kTileBytes = kRows * kRowBytes;
  static_assert(kPieces == 4 || kPieces == 8, "twist() spreads rows of 64 or 128 bytes");

  /// Piece p of a row lies at p ^ twist(row): so the same piece of eight neighbouring rows lies in all banks once.
  static constexpr __device__ unsigned twist(unsigned row) { return kPieces == 8 ? row % 8 : row / 2 % 4; }
  /// Bytes from a tile's begin to a piece.
  static constexpr __device__ unsigned swizzled(unsigned row, unsigned piece) {
    return row * kRowBytes + (piece ^ twist(row)) * kPieceBytes;
  }

  __device__ TileSource(const PieceRows<Element>& matrix, std::size_t depth, std::size_t first_row) {
    const unsigned row = threadIdx.x / kPieces, piece = threadIdx.x % kPieces;
    const auto stride = static_cast<unsigned>(matrix.stride);
    const std::size_t rows = matrix.rows - first_row;
    const unsigned last_row = rows < kRows ? static_cast<unsigned>(rows) - 1 : kRows - 1;
    column_ = piece * kPieceElements;
    columns_ = static_cast<unsigned>(depth);
    from_ = matrix.data + first_row * matrix.stride + column_;
    to_ = swizzled(row, piece);
#pragma unroll
    for (unsigned i = 0; i < kCopies; ++i) offset_[i] = min(row + i * kRowStep, last_row) * stride;
  }

  /// Begins to copy the next tile to `tile`.
  __device__ void copy(SharedAddress tile) {
    const bool in_row = column_ < columns_;
#pragma unroll
    for (unsigned i = 0; i < kCopies; ++i)
      cp_async_16_or_zero(tile + (to_ + i * kRowStep * kRowBytes), from_ + offset_[i], in_row);
    from_ += kDepth;
    column_ += kDepth;
  }

 private:
  static constexpr unsigned kRowStep = kThreads / kPieces, kCopies = kRows / kRowStep;
  static_assert(kRows % kRowStep == 0 && kRowStep % 8 == 0, "a thread's rows have one place in the swizzle");

  const Element* from_;       // this thread's piece of the block's first row ...
  unsigned offset_[kCopies];  // ... and what leads from there to its own rows
  unsigned column_, columns_;
  unsigned to_;
};

}  // namespace lexiscope::cuda
