// The covariance in tiles of its lower triangle: a task is one tile's sum over one slot of rows, packed in double
// (centred, where that is asked) a piece at a time. Two passes, mean first: the one-pass formula cancels.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/covariance.cpp"
#include "kernels/cpu/covariance.h"

#include <hwy/foreach_target.h>  // must precede highway.h
#include <hwy/highway.h>
#include <omp.h>

#include <algorithm>
#include <cmath>

#include "kernels/cpu/double_product-inl.h"

#ifndef LEXISCOPE_KERNELS_CPU_COVARIANCE_LAYOUT_
#define LEXISCOPE_KERNELS_CPU_COVARIANCE_LAYOUT_
namespace lexiscope::cpu {

// Wide tiles, since every tile reads its columns of x anew; the rows packed at once are as many as stay in the
// second-level cache for both sides, beside the tile.
constexpr std::size_t kTileWidth = 192;
constexpr std::size_t kPieceRows = 128;
static_assert(kTileWidth % kSliverMultiple == 0);
constexpr std::size_t kTileElements = kTileWidth * kTileWidth;

constexpr std::size_t tiles_of(std::size_t d) noexcept {
  const std::size_t side = (d + kTileWidth - 1) / kTileWidth;
  return side * (side + 1) / 2;
}

// The columns of one tile of the lower triangle; those on the left are its rows in the covariance.
struct TileColumns {
  std::size_t left, left_count, right, right_count;
  bool diagonal() const noexcept { return left == right; }
};

// Tiles are counted along the rows of the triangle.
constexpr TileColumns tile_columns(std::size_t tile, std::size_t d) noexcept {
  std::size_t row = 0;
  while (tile > row) tile -= ++row;
  const std::size_t left = row * kTileWidth, right = tile * kTileWidth;
  return {left, std::min(kTileWidth, d - left), right, std::min(kTileWidth, d - right)};
}

struct CovarianceLayout {
  double* sums;    // [slots, d]: of rows, for the mean
  double* tiles;   // [slots, tiles, kTileWidth, kTileWidth]
  double* pieces;  // [threads, 2, kTileWidth * kPieceRows]: packed, left and right
  std::size_t bytes;
};

inline CovarianceLayout covariance_layout(std::size_t n, std::size_t d, int threads, std::byte* base) {
  const std::size_t slots = choose_covariance_config(n, d).slots;
  WorkspaceCutter cutter(base);
  CovarianceLayout layout{};
  layout.sums = cutter.cut<double>(slots * d);
  layout.tiles = cutter.cut<double>(slots * tiles_of(d) * kTileElements);
  layout.pieces = cutter.cut<double>(static_cast<std::size_t>(threads) * 2 * kTileWidth * kPieceRows);
  layout.bytes = cutter.used();
  return layout;
}

}  // namespace lexiscope::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace lexiscope::cpu::HWY_NAMESPACE {

// sums += the sum of the rows, four at a time so that the sums travel through memory less.
void add_rows(MatrixView<const float> rows, double* HWY_RESTRICT sums) {
  std::size_t i = 0;
  for (; i + 4 <= rows.rows; i += 4) {
    const float *x0 = rows.row(i), *x1 = rows.row(i + 1), *x2 = rows.row(i + 2), *x3 = rows.row(i + 3);
    for (std::size_t a = 0; a < rows.columns; ++a)
      sums[a] += (static_cast<double>(x0[a]) + x1[a]) + (static_cast<double>(x2[a]) + x3[a]);
  }
  for (; i < rows.rows; ++i)
    for (std::size_t a = 0; a < rows.columns; ++a) sums[a] += rows.row(i)[a];
}

// tile += left^T right, both packed in `depth` rows; of a tile on the diagonal only what reaches its lower triangle.
void add_product(const double* left, const double* right, std::size_t depth, const TileColumns& columns, double* tile) {
  for (std::size_t c = 0; c < columns.right_count; c += kRightWidth)
    for (std::size_t r = 0; r < columns.left_count; r += kLeftWidth) {
      if (columns.diagonal() && c >= r + kLeftWidth) continue;
      multiply_slivers(left + r * depth, right + c * depth, depth, columns.right_count - c, tile + r * kTileWidth + c,
                       kTileWidth);
    }
}

// tile += the sum over the rows of (x - mean)(x - mean)^T, restricted to the tile's columns; a null mean is 0.
void add_rows_to_tile(MatrixView<const float> rows, const double* mean, const TileColumns& columns,
                      double* HWY_RESTRICT pieces, double* HWY_RESTRICT tile) {
  double *left = pieces, *right = pieces + kTileWidth * kPieceRows;
  for (std::size_t first = 0; first < rows.rows; first += kPieceRows) {
    const auto piece = rows.rows_from(first, std::min(kPieceRows, rows.rows - first));
    pack_columns<kLeftWidth>(piece, mean, columns.left, columns.left_count, left);
    pack_columns<kRightWidth>(piece, mean, columns.right, columns.right_count, right);
    add_product(left, right, piece.rows, columns, tile);
  }
}

}  // namespace lexiscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lexiscope::cpu {

HWY_EXPORT(add_rows);
HWY_EXPORT(add_rows_to_tile);

namespace {

constexpr std::size_t kTasks = 48;                         // enough to keep many threads busy to the end
constexpr std::size_t kSlotBytes = std::size_t{64} << 20;  // what the slots' tiles may take, where there are several
constexpr double kChunkFlops = 4e9;                        // a few tenths of a second on a slow core
constexpr double kChunkElements = 64e6;

// The rows of one slot, of those that a chunk [first, last) has.
MatrixView<const float> slot_rows(const CovarianceArgs& args, std::size_t first, std::size_t last, std::size_t slot,
                                  std::size_t slots) {
  const std::size_t rows = last - first, from = rows * slot / slots, to = rows * (slot + 1) / slots;
  return args.x.rows_from(first + from, to - from);
}

}  // namespace

CovarianceConfig choose_covariance_config(std::size_t n, std::size_t d) {
  const std::size_t tiles = tiles_of(d), tile_bytes = kTileElements * sizeof(double);
  const std::size_t fitting = std::max<std::size_t>(1, kSlotBytes / (tiles * tile_bytes));
  const std::size_t wanted = (kTasks + tiles - 1) / tiles, filled = (n + kPieceRows - 1) / kPieceRows;
  const double columns = static_cast<double>(d), rows = static_cast<double>(n);
  const double chunks = std::ceil(std::max(rows * columns * columns / kChunkFlops, rows * columns / kChunkElements));
  const std::size_t chunk_rows = static_cast<std::size_t>(std::ceil(rows / std::max(1.0, chunks)));
  return {.chunk_rows = std::max(chunk_rows, kPieceRows), .slots = std::min({fitting, wanted, filled})};
}

std::size_t covariance_workspace(std::size_t n, std::size_t d, int threads) {
  return covariance_layout(n, d, threads, nullptr).bytes;
}

void add_to_mean(const CovarianceArgs& args, std::size_t first, std::size_t last, const Context& context) {
  const auto add = HWY_DYNAMIC_DISPATCH(add_rows);
  const std::size_t d = args.x.columns, slots = choose_covariance_config(args.x.rows, d).slots;
  const CovarianceLayout layout = covariance_layout(args.x.rows, d, context.threads, context.workspace.data());
#pragma omp parallel for schedule(static) num_threads(context.threads) if (worth_threads(last - first, d, 8))
  for (std::size_t slot = 0; slot < slots; ++slot) {
    double* sums = layout.sums + slot * d;
    if (first == 0) std::fill_n(sums, d, 0.0);
    add(slot_rows(args, first, last, slot, slots), sums);
  }
}

void finish_mean(const CovarianceArgs& args, const Context& context) {
  const std::size_t d = args.x.columns, slots = choose_covariance_config(args.x.rows, d).slots;
  const CovarianceLayout layout = covariance_layout(args.x.rows, d, context.threads, context.workspace.data());
  for (std::size_t a = 0; a < d; ++a) {
    double sum = 0;
    for (std::size_t slot = 0; slot < slots; ++slot) sum += layout.sums[slot * d + a];
    args.mean[a] = sum / static_cast<double>(args.x.rows);
  }
}

void add_to_covariance(const CovarianceArgs& args, std::size_t first, std::size_t last, const Context& context) {
  const auto add = HWY_DYNAMIC_DISPATCH(add_rows_to_tile);
  const std::size_t d = args.x.columns, slots = choose_covariance_config(args.x.rows, d).slots, tiles = tiles_of(d);
  const CovarianceLayout layout = covariance_layout(args.x.rows, d, context.threads, context.workspace.data());
  const double* mean = args.centered ? args.mean.data : nullptr;
#pragma omp parallel for schedule(dynamic) num_threads(context.threads) if (worth_threads(last - first, d, d))
  for (std::size_t task = 0; task < slots * tiles; ++task) {
    double* tile = layout.tiles + task * kTileElements;
    double* pieces = layout.pieces + static_cast<std::size_t>(omp_get_thread_num()) * 2 * kTileWidth * kPieceRows;
    if (first == 0) std::fill_n(tile, kTileElements, 0.0);
    add(slot_rows(args, first, last, task / tiles, slots), mean, tile_columns(task % tiles, d), pieces, tile);
  }
}

void finish_covariance(const CovarianceArgs& args, const Context& context) {
  const std::size_t d = args.x.columns, slots = choose_covariance_config(args.x.rows, d).slots, tiles = tiles_of(d);
  const CovarianceLayout layout = covariance_layout(args.x.rows, d, context.threads, context.workspace.data());
  const MatrixView<double> out = args.covariance;
#pragma omp parallel for schedule(static) num_threads(context.threads) if (worth_threads(d, d, slots))
  for (std::size_t tile = 0; tile < tiles; ++tile) {
    const TileColumns columns = tile_columns(tile, d);
    for (std::size_t r = 0; r < columns.left_count; ++r)
      for (std::size_t c = 0; c < (columns.diagonal() ? r + 1 : columns.right_count); ++c) {
        double sum = 0;
        for (std::size_t slot = 0; slot < slots; ++slot)
          sum += layout.tiles[(slot * tiles + tile) * kTileElements + r * kTileWidth + c];
        const double value = sum / static_cast<double>(args.x.rows);
        out.row(columns.left + r)[columns.right + c] = value;
        out.row(columns.right + c)[columns.left + r] = value;
      }
  }
}

}  // namespace lexiscope::cpu
#endif
