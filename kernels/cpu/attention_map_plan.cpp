// Cuts attention_map's work, and brings together what its slabs of queries added up.
#include "kernels/cpu/attention_map_plan.h"

#include <algorithm>

#include "kernels/cpu/attention_heads.h"
#include "kernels/cpu/attention_map.h"

namespace lexiscope::cpu {
namespace {

// The number of tokens in a cell's side: those with floor(token * cells / tokens) = cell.
double side(std::size_t cell, std::size_t cells, std::size_t tokens) {
  const std::size_t first = (cell * tokens + cells - 1) / cells, last = ((cell + 1) * tokens + cells - 1) / cells;
  return static_cast<double>(last - first);
}

void write_cells(const AttentionMapArgs& args, const AttentionMapPlan& plan, std::size_t head, std::size_t row,
                 const CellSums& cells) {
  const double queries = side(row, plan.cells, plan.queries);
  float *mean = map_row<float>(args.pooled_mean, head, row), *maximum = map_row<float>(args.pooled_maximum, head, row);
  for (std::size_t c = 0; c < plan.cells; ++c)
    if (mean) mean[c] = static_cast<float>(cells.sums[c] / (queries * side(c, plan.cells, plan.keys)));
  if (maximum) std::copy_n(cells.maxima, plan.cells, maximum);
}

void write_received(const AttentionMapArgs& args, const AttentionMapPlan& plan, std::size_t head,
                    const AttentionMapSums* slabs) {
  float* received = args.received.row(head);
  for (std::size_t key = 0; key < plan.keys; ++key) {
    double sum = 0;
    for (std::size_t s = 0; s < plan.slabs; ++s) sum += double{slabs[s].received[key]};
    received[key] = static_cast<float>(sum);
  }
}

// Both sides of the diagonal together: query i stands at i + T_k - T_q beside key j.
void write_by_distance(const AttentionMapArgs& args, const AttentionMapPlan& plan, std::size_t head,
                       const AttentionMapSums* slabs) {
  const std::size_t zero = kMostMapLanes + plan.queries - 1;  // where i + T_k - T_q = j
  for (std::size_t distance = 0; distance < args.by_distance.columns; ++distance) {
    double sum = 0;
    for (std::size_t s = 0; s < plan.slabs; ++s) {
      if (distance < plan.keys) sum += double{slabs[s].diagonals[zero + distance]};
      if (distance > 0 && distance < plan.queries) sum += double{slabs[s].diagonals[zero - distance]};
    }
    args.by_distance.row(head)[distance] = static_cast<float>(sum);
  }
}

// Rows of cells that slabs end in, in order; what falls into one row of several slabs is added up first.
void write_shared_cells(const AttentionMapArgs& args, const AttentionMapPlan& plan, std::size_t head,
                        const AttentionMapSums* slabs) {
  CellSums sums;
  std::size_t open = 0;
  const auto take = [&](std::size_t row, const CellSums& more) {
    if (sums.sums && row == open) {
      for (std::size_t c = 0; c < plan.cells; ++c) {
        sums.sums[c] += more.sums[c];
        sums.maxima[c] = std::max(sums.maxima[c], more.maxima[c]);
      }
      return;
    }
    if (sums.sums) write_cells(args, plan, head, open, sums);
    sums = more;
    open = row;
  };
  for (std::size_t s = 0; s < plan.slabs; ++s) {
    const std::size_t first = plan.cell_row(plan.block_query(plan.first_block(s)));
    const std::size_t last = plan.cell_row(plan.block_query(plan.first_block(s + 1)) - 1);
    take(first, slabs[s].cell_rows[0]);
    if (last != first) take(last, slabs[s].cell_rows[1]);
  }
  write_cells(args, plan, head, open, sums);
}

template <typename Element>
void fill(const TensorView& view, Element value) {
  if (view.empty()) return;
  for (std::size_t head = 0; head < view.shape[0]; ++head)
    for (std::size_t row = 0; row < view.shape[1]; ++row)
      std::fill_n(map_row<Element>(view, head, row), view.shape[2], value);
}

void fill_zero(MatrixView<float> matrix) {
  for (std::size_t row = 0; !matrix.empty() && row < matrix.rows; ++row)
    std::fill_n(matrix.row(row), matrix.columns, 0.0f);
}

void cut_into_blocks(AttentionMapPlan& plan) {
  plan.blocks = (plan.end_query - plan.first_query + kTileQueries - 1) / kTileQueries;
  plan.slabs = attention_map_slabs(plan.heads, plan.blocks);
}

}  // namespace

std::size_t attention_map_slabs(std::size_t heads, std::size_t blocks) {
  const std::size_t wanted = std::clamp<std::size_t>(128 / std::max<std::size_t>(heads, 1), 1, 32);
  return std::min(wanted, std::max<std::size_t>(blocks, 1));
}

std::size_t AttentionMapPlan::block_query(std::size_t block) const {
  return std::min(end_query, first_query + block * kTileQueries);
}

AttentionMapPlan plan_whole_attention_map(const AttentionMapArgs& args) {
  AttentionMapPlan plan{.heads = args.query.shape[0], .queries = args.query.shape[1], .keys = args.key.shape[1]};
  plan.cells = std::max(args.pooled_mean.empty() ? 0 : args.pooled_mean.shape[1],
                        args.pooled_maximum.empty() ? 0 : args.pooled_maximum.shape[1]);
  plan.top = args.top_index.empty() ? 0 : args.top_index.shape[2];
  plan.end_query = plan.queries;
  plan.end_key = keys_before_padding(args.key_padding, plan.keys);
  cut_into_blocks(plan);
  return plan;
}

AttentionMapPlan plan_attention_map(const AttentionMapArgs& args) {
  AttentionMapPlan plan = plan_whole_attention_map(args);
  if (!args.received.empty() || !args.by_distance.empty() || plan.cells > 0 || plan.top > 0) return plan;
  plan.first_query = args.first_query;
  plan.end_query = args.first_query + args.rectangle.shape[1];
  plan.first_key = args.first_key;
  plan.end_key = std::min(plan.end_key, args.first_key + args.rectangle.shape[2]);
  cut_into_blocks(plan);
  return plan;
}

CellRows::CellRows(const AttentionMapArgs& args, const AttentionMapPlan& plan, std::size_t head,
                   const std::array<CellSums, 2>& open, const AttentionMapSums& slab, std::size_t first_query,
                   std::size_t end_query)
    : args_(args),
      plan_(plan),
      head_(head),
      open_(open),
      slab_(slab),
      first_row_(plan.cell_row(first_query)),
      last_row_(plan.cell_row(end_query - 1)),
      open_row_(first_row_) {
  clear(open_[0]);
}

std::size_t CellRows::begin_block(std::size_t first_query, std::size_t queries, CellRow* rows) {
  const std::size_t first = plan_.cell_row(first_query), last = plan_.cell_row(first_query + queries - 1);
  if (first != open_row_) {
    close();
    clear(open_[0]);
    open_row_ = first;
  }
  clear(open_[1]);
  std::size_t lane = 0;
  for (std::size_t row = first; row <= last; ++row) {
    CellRow& cells = rows[row - first];
    if (row == first || row == last) {
      const CellSums& sums = open_[row == first ? 0 : 1];
      cells = {.sums = sums.sums, .maxima = sums.maxima};
    } else {
      cells = within_block(row);
    }
    cells.first = lane;
    while (lane < queries && plan_.cell_row(first_query + lane) == row) ++lane;
    cells.end = lane;
  }
  return last - first + 1;
}

void CellRows::end_block(std::size_t first_query, std::size_t queries) {
  const std::size_t first = plan_.cell_row(first_query), last = plan_.cell_row(first_query + queries - 1);
  for (std::size_t row = first + 1; row < last; ++row)
    if (float* mean = map_row<float>(args_.pooled_mean, head_, row))
      for (std::size_t c = 0; c < plan_.cells; ++c)
        mean[c] =
            static_cast<float>(mean[c] / (side(row, plan_.cells, plan_.queries) * side(c, plan_.cells, plan_.keys)));
  if (first == last) return;
  close();
  std::swap(open_[0], open_[1]);
  open_row_ = last;
}

CellRow CellRows::within_block(std::size_t row) const {
  CellRow cells{.out_sums = map_row<float>(args_.pooled_mean, head_, row),
                .maxima = map_row<float>(args_.pooled_maximum, head_, row)};
  if (cells.out_sums) std::fill_n(cells.out_sums, plan_.cells, 0.0f);
  if (cells.maxima) std::fill_n(cells.maxima, plan_.cells, 0.0f);
  return cells;
}

void CellRows::close() {
  if (open_row_ != first_row_ && open_row_ != last_row_) return write_cells(args_, plan_, head_, open_row_, open_[0]);
  const CellSums& to = slab_.cell_rows[open_row_ == first_row_ ? 0 : 1];
  std::copy_n(open_[0].sums, plan_.cells, to.sums);
  std::copy_n(open_[0].maxima, plan_.cells, to.maxima);
}

void CellRows::clear(const CellSums& cells) const {
  std::fill_n(cells.sums, plan_.cells, 0.0);
  std::fill_n(cells.maxima, plan_.cells, 0.0f);
}

void write_attention_map_sums(const AttentionMapArgs& args, const AttentionMapPlan& plan, std::size_t head,
                              const AttentionMapSums* slabs) {
  if (!args.received.empty()) write_received(args, plan, head, slabs);
  if (!args.by_distance.empty()) write_by_distance(args, plan, head, slabs);
  if (plan.cells > 0) write_shared_cells(args, plan, head, slabs);
}

void write_empty_attention_map(const AttentionMapArgs& args) {
  fill_zero(args.received);
  fill_zero(args.by_distance);
  fill(args.pooled_mean, 0.0f);
  fill(args.pooled_maximum, 0.0f);
  fill(args.top_index, std::int32_t{-1});
  fill(args.top_weight, 0.0f);
  fill(args.rectangle, 0.0f);
}

}  // namespace lexiscope::cpu
