// How the rows of an attention map are cut: into tiles that kernels compute at once, and into the cells that pooling
// asks for. A tile holds whole rows of cells, or it lies within one.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lexiscope::cuda {

struct Range {
  unsigned begin, end;
  constexpr unsigned size() const { return end - begin; }
};

/// The positions i of `extent` with floor(i * cells / extent) = cell.
constexpr Range range_of_cell(unsigned cell, unsigned cells, unsigned extent) {
  const auto first = [&](std::uint64_t c) { return static_cast<unsigned>((c * extent + cells - 1) / cells); };
  return {first(cell), first(std::uint64_t{cell} + 1)};
}

/// Rows [first, first + rows) in tiles of at most `height`; with cells > 0 these are all rows of the map.
class RowTiles {
 public:
  constexpr RowTiles(unsigned first, unsigned rows, unsigned cells, unsigned height)
      : first_(first), rows_(rows), cells_(cells), height_(height) {
    if (cells == 0) {
      count_ = (rows + height - 1) / height;
      return;
    }
    const unsigned tallest = (rows + cells - 1) / cells;
    cells_a_tile_ = tallest <= height ? height / tallest : 1;
    tiles_a_cell_ = (tallest + height - 1) / height;
    count_ = tiles_a_cell_ > 1 ? cells * tiles_a_cell_ : (cells + cells_a_tile_ - 1) / cells_a_tile_;
  }

  constexpr unsigned count() const { return count_; }
  constexpr bool cuts_cells() const { return tiles_a_cell_ > 1; }

  /// May be empty, where the rows of cells differ by one.
  constexpr Range rows_of(unsigned tile) const {
    if (cells_ == 0) return {first_ + tile * height_, first_ + at_most((tile + 1) * height_, rows_)};
    const Range cells = cells_of(tile);
    const unsigned begin = range_of_cell(cells.begin, cells_, rows_).begin;
    const unsigned end = range_of_cell(cells.end - 1, cells_, rows_).end;
    const unsigned part = tile % tiles_a_cell_ * height_;
    return {at_most(begin + part, end), cuts_cells() ? at_most(begin + part + height_, end) : end};
  }

  /// The rows of cells that a tile holds or lies in.
  constexpr Range cells_of(unsigned tile) const {
    const unsigned begin = tile / tiles_a_cell_ * cells_a_tile_;
    return {begin, at_most(begin + cells_a_tile_, cells_)};
  }

  /// The tiles that hold rows of a row of cells.
  constexpr Range tiles_of(unsigned cell) const {
    const unsigned begin = cell / cells_a_tile_ * tiles_a_cell_;
    return {begin, begin + tiles_a_cell_};
  }

 private:
  static constexpr unsigned at_most(unsigned x, unsigned bound) { return x < bound ? x : bound; }

  unsigned first_, rows_, cells_, height_;
  unsigned cells_a_tile_ = 0, tiles_a_cell_ = 1, count_ = 0;
};

/// Tiles cut into `spans` runs of nearly equal length.
constexpr Range tiles_of_span(unsigned span, unsigned spans, unsigned tiles) {
  const auto first = [&](std::uint64_t s) { return static_cast<unsigned>(s * tiles / spans); };
  return {first(span), first(std::uint64_t{span} + 1)};
}

constexpr unsigned span_of_tile(unsigned tile, unsigned spans, unsigned tiles) {
  return static_cast<unsigned>(((std::uint64_t{tile} + 1) * spans - 1) / tiles);
}

}  // namespace lexiscope::cuda
