// How attention_map's work is cut, where a slab of queries adds up, and the rows of cells that its blocks share.
#pragma once

#include <array>
#include <cstddef>

#include "kernels/cpu/attention_map_block.h"
#include "lexiscope/ops/attention_map.h"

namespace lexiscope::cpu {

/// Everything that the shape decides.
struct AttentionMapPlan {
  std::size_t heads = 0, queries = 0, keys = 0;
  std::size_t cells = 0, top = 0;              ///< P and k, 0 where not wanted
  std::size_t first_query = 0, end_query = 0;  ///< that blocks are made of: all, or a rectangle's alone
  std::size_t first_key = 0, end_key = 0;      ///< the same of keys, without padding at the end
  std::size_t blocks = 0, slabs = 0;           ///< a head

  std::size_t first_block(std::size_t slab) const { return slab * blocks / slabs; }
  std::size_t block_query(std::size_t block) const;
  std::size_t cell_row(std::size_t query) const { return query * cells / queries; }
  /// [slack, T_q + T_k - 1, slack]: the weight of query i and key j belongs at diagonal_origin() + i - j.
  std::size_t diagonals() const { return kMostMapLanes + queries + keys + kTileQueries; }
  std::size_t diagonal_origin() const { return kMostMapLanes + keys - 1; }
};

/// A plan for all queries and keys, and one for those that the outputs need: fewer for a rectangle alone.
AttentionMapPlan plan_whole_attention_map(const AttentionMapArgs& args);
AttentionMapPlan plan_attention_map(const AttentionMapArgs& args);

/// Sums and maxima of one row of cells.
struct CellSums {
  double* sums = nullptr;   // [P]
  float* maxima = nullptr;  // [P]
};

/// What a slab of queries adds up. Its first row of cells, and its last where that is another, may go on in other
/// slabs.
struct AttentionMapSums {
  float* received = nullptr;   ///< [T_k + kMostMapLanes], or null
  float* diagonals = nullptr;  ///< [plan.diagonals()], or null
  std::array<CellSums, 2> cell_rows{};
};

/// The rows of cells that a slab's blocks add to, one block after the other. A row within one block adds up in the
/// outputs, a row that goes on in the next block in `open`, memory of the thread's.
class CellRows {
 public:
  CellRows(const AttentionMapArgs& args, const AttentionMapPlan& plan, std::size_t head,
           const std::array<CellSums, 2>& open, const AttentionMapSums& slab, std::size_t first_query,
           std::size_t end_query);

  /// The rows of a block's lanes, in order; returns how many.
  std::size_t begin_block(std::size_t first_query, std::size_t queries, CellRow* rows);
  void end_block(std::size_t first_query, std::size_t queries);
  void end_slab() { close(); }

 private:
  CellRow within_block(std::size_t row) const;
  void close();
  void clear(const CellSums& cells) const;

  const AttentionMapArgs& args_;
  const AttentionMapPlan& plan_;
  std::size_t head_;
  std::array<CellSums, 2> open_;  // of the row that goes on, and of the one that the block at hand ends in
  AttentionMapSums slab_;
  std::size_t first_row_, last_row_, open_row_;
};

/// Adds the slabs' sums of one head in their order, and writes them to the outputs.
void write_attention_map_sums(const AttentionMapArgs& args, const AttentionMapPlan& plan, std::size_t head,
                              const AttentionMapSums* slabs);

/// Zeros to every output, -1 to top_index: a map without queries or keys.
void write_empty_attention_map(const AttentionMapArgs& args);

template <typename Element>
Element* map_row(const TensorView& view, std::size_t head, std::size_t row) {
  if (view.empty()) return nullptr;
  return static_cast<Element*>(view.data) + head * view.strides[0] + row * view.strides[1];
}

}  // namespace lexiscope::cpu
