// Attention's map, tile by tile: everything wanted is read off a tile of weights while it is in the first-level cache.
// From a log-sum-exp that is given, each tile's scores are multiplied and become weights; together with attention, its
// own weights of a block of queries are kept until their sums are known, and only need scaling.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention_map.cpp"
#include "kernels/cpu/attention_map.h"

#include <hwy/foreach_target.h>  // must precede highway.h
#include <hwy/highway.h>
#include <omp.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>

#include "kernels/cpu/attention_heads.h"
#include "kernels/cpu/attention_map_block.h"
#include "kernels/cpu/attention_map_plan.h"
#include "kernels/cpu/attention_map_tiles-inl.h"
#include "kernels/cpu/attention_rows-inl.h"
#include "kernels/cpu/attention_tiles-inl.h"

#if HWY_TARGET == HWY_AVX3_DL  // as attention_tiles-inl.h
HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512bf16")
#else
HWY_BEFORE_NAMESPACE();
#endif
namespace lexiscope::cpu::HWY_NAMESPACE {
namespace {
using namespace attention_map_tiles;

// A lane without a query, or whose query sees no key, gets weights of 0.
void set_from_log_sum_exp(const AttentionMapBlock& block, RowWeights& rows) {
  std::fill_n(rows.reference, kTileQueries, 1e30f);
  std::fill_n(rows.factor, kTileQueries, 1.0f);
  for (std::size_t i = 0; i < block.scores.queries; ++i)
    if (block.log_sum_exp[i] != kNone)
      rows.reference[i] = static_cast<float>(block.log_sum_exp[i] * std::numbers::log2e);
}

// The same from attention's sums of weights.
void set_from_sums(const AttentionMapBlock& block, const RunningRows& sums, RowWeights& rows) {
  std::copy_n(sums.reference, kTileQueries, rows.reference);
  std::fill_n(rows.factor, kTileQueries, 0.0f);
  for (std::size_t i = 0; i < block.scores.queries; ++i)
    if (sums.sum[i] > 0) rows.factor[i] = 1 / sums.sum[i];
}

// Nothing exceeds a list of a lane without a query.
void start_lists(const AttentionMapBlock& block, const AttentionMapScratch& scratch) {
  for (std::size_t n = 0; n < block.top; ++n) {
    float* const scores = scratch.top_scores + n * kTileQueries;
    std::fill_n(scores, kTileQueries, std::numeric_limits<float>::infinity());
    std::fill_n(scores, block.scores.queries, kNone);
    std::fill_n(scratch.top_keys + n * kTileQueries, kTileQueries, -1);
  }
}

void write_lists(const AttentionMapBlock& block, const RowWeights& rows, const AttentionMapScratch& scratch) {
  const float log2_scale = log2_scale_of(block.scores);
  for (std::size_t n = 0; n < block.top; ++n) {
    const Tile weights{scratch.top_scores + n * kTileQueries, 0, 1, kTileQueries};
    const std::int32_t* const keys = scratch.top_keys + n * kTileQueries;
    weigh_map_tile(weights, log2_scale, rows);
    for (std::size_t i = 0; i < block.scores.queries; ++i) {
      block.top_weight[i * block.top_weight_stride + n] = weights.values[i];
      block.top_index[i * block.top_index_stride + n] = keys[i];
    }
  }
}

void read_weights(const AttentionMapBlock& block, const Tile& tile, const AttentionMapScratch& scratch) {
  if (block.received) add_received(tile, block.received);
  if (block.diagonals) add_diagonals(tile, block.diagonals, scratch.diagonals);
  if (block.cells > 0) add_cells(block, tile);
  if (block.rectangle) write_rectangle(block, tile);
}

template <typename Product>
void score_map_tile(const AttentionBlock& scores, const Tile& tile, const AttentionScratch& scratch) {
  alignas(kAlignment) float tile_maximum[kTileQueries];
  score_tile<Product>(scores, tile.first_key, tile.keys, tile.lanes, scratch, tile_maximum);
  if (needs_mask(scores, tile.first_key, tile.keys))
    mask_tile(scores, tile.first_key, tile.keys, tile.lanes, tile.values, tile_maximum);
}

Tile tile_at(const AttentionBlock& scores, std::size_t first_key, const AttentionMapScratch& scratch) {
  return {scratch.tiles.weights, first_key, std::min(kTileKeys, scores.keys - first_key), lanes_of(scores)};
}

template <typename Product>
void read_map(const AttentionMapBlock& block, const AttentionMapScratch& scratch) {
  const AttentionBlock& scores = block.scores;
  const float log2_scale = log2_scale_of(scores);
  RowWeights rows;
  set_from_log_sum_exp(block, rows);
  if (block.top > 0) start_lists(block, scratch);
  pack_queries<Product>(scores, scratch.tiles.query);
  for (std::size_t first_key = block.first_key; first_key < scores.keys; first_key += kTileKeys) {
    const Tile tile = tile_at(scores, first_key, scratch);
    if (!has_visible_key(scores, first_key, tile.keys)) continue;
    score_map_tile<Product>(scores, tile, scratch.tiles);
    if (block.top > 0) insert_largest(tile, block.top, scratch);
    if (!block.needs_weights()) continue;
    weigh_map_tile(tile, log2_scale, rows);
    read_weights(block, tile, scratch);
  }
  if (block.top > 0) write_lists(block, rows, scratch);
}

// What attention leaves behind for the map: its first tiles, and the keys with the largest scores.
struct KeptTiles {
  const AttentionMapBlock& block;
  const AttentionMapScratch& scratch;

  bool keeps(std::size_t first_key) const { return first_key / kTileKeys < scratch.kept_tiles; }
  float* weights(std::size_t first_key) const { return scratch.kept + first_key * kTileQueries; }
  float* reference(std::size_t first_key) const {
    return scratch.kept_reference + first_key / kTileKeys * kTileQueries;
  }

  float* place(std::size_t first_key) const { return keeps(first_key) ? weights(first_key) : scratch.tiles.weights; }
  void take_scores(const Tile& tile) const {
    if (block.top > 0) insert_largest(tile, block.top, scratch);
  }
  void take_references(const Tile& tile, const float* references) const {
    if (keeps(tile.first_key)) std::copy_n(references, kTileQueries, reference(tile.first_key));
  }
};

void attend_and_read_map(const AttentionMapBlock& block, const AttentionMapScratch& scratch) {
  using Product = F32Product;  // of bf16, attention leaves rounded weights
  const AttentionBlock& scores = block.scores;
  const float log2_scale = log2_scale_of(scores);
  KeptTiles kept{block, scratch};
  if (block.top > 0) start_lists(block, scratch);
  RunningRows sums;
  attend<Product>(scores, scratch.tiles, kept, sums);
  RowWeights rows;
  set_from_sums(block, sums, rows);
  for (std::size_t first_key = 0; block.needs_weights() && first_key < scores.keys; first_key += kTileKeys) {
    const Tile tile = tile_at(scores, first_key, scratch);
    if (!has_visible_key(scores, first_key, tile.keys)) continue;
    if (kept.keeps(first_key)) {
      rescale_map_tile(tile, kept.weights(first_key), kept.reference(first_key), rows);
    } else {
      score_map_tile<Product>(scores, tile, scratch.tiles);
      weigh_map_tile(tile, log2_scale, rows);
    }
    read_weights(block, tile, scratch);
  }
  if (block.top > 0) write_lists(block, rows, scratch);
}

}  // namespace

void read_map_block(const AttentionMapBlock& block, const AttentionMapScratch& scratch) {
  if (!block.log_sum_exp) return attend_and_read_map(block, scratch);
  if (block.scores.dtype == DType::f32) return read_map<F32Product>(block, scratch);
#if HWY_TARGET == HWY_AVX3_DL
  static const bool has_bf16_products = __builtin_cpu_supports("avx512bf16");
  if (has_bf16_products) return read_map<Bf16Native>(block, scratch);
#endif
  read_map<Bf16Product>(block, scratch);
}

}  // namespace lexiscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lexiscope::cpu {

HWY_EXPORT(read_map_block);

namespace {

// One call: of the map alone, or of attention and its map.
struct Call {
  const AttentionMapArgs& args;
  const AttentionArgs* attention;  // or null
  AttentionMapPlan plan;

  explicit Call(const AttentionMapArgs& map) : args(map), attention(nullptr), plan(plan_attention_map(map)) {}
  Call(const AttentionArgs& with, const AttentionMapArgs& map)
      : args(map), attention(&with), plan(plan_whole_attention_map(map)) {}

  ConstTensorView value() const { return attention ? attention->value : ConstTensorView{}; }
  std::size_t kept_tiles() const {
    return attention ? std::min(kMostKeptTiles, (plan.end_key + kTileKeys - 1) / kTileKeys) : 0;
  }
};

struct Workspace {
  PackedHeads packed;
  AttentionMapSums* sums = nullptr;  // [heads * slabs]
  std::byte *slabs = nullptr, *threads = nullptr;
  std::size_t slab_bytes = 0, thread_bytes = 0, bytes = 0;
};

CellSums cut_cells(const AttentionMapPlan& plan, WorkspaceCutter& cutter) {
  return {cutter.cut<double>(plan.cells), cutter.cut<float>(plan.cells)};
}

AttentionMapSums cut_slab(const Call& call, WorkspaceCutter cutter, std::size_t* bytes = nullptr) {
  AttentionMapSums sums;
  if (!call.args.received.empty()) sums.received = cutter.cut<float>(call.plan.keys + kMostMapLanes);
  if (!call.args.by_distance.empty()) sums.diagonals = cutter.cut<float>(call.plan.diagonals());
  for (CellSums& row : sums.cell_rows) row = cut_cells(call.plan, cutter);
  if (bytes) *bytes = cutter.used();
  return sums;
}

struct ThreadMemory {
  AttentionMapScratch scratch;
  std::array<CellSums, 2> open_cells;
};

ThreadMemory cut_thread(const Call& call, WorkspaceCutter cutter, std::size_t* bytes = nullptr) {
  const std::size_t query_elements = call.args.query.shape[2] * kTileQueries, kept = call.kept_tiles();
  ThreadMemory memory;
  AttentionMapScratch& scratch = memory.scratch;
  scratch.tiles.query = cutter.cut<float>(query_elements);
  scratch.tiles.weights = cutter.cut<float>(kTileKeys * kTileQueries);
  if (call.attention) scratch.tiles.out = cutter.cut<float>(query_elements);
  scratch.diagonals = cutter.cut<float>(kDiagonalScratch);
  scratch.top_scores = cutter.cut<float>(call.plan.top * kTileQueries);
  scratch.top_keys = cutter.cut<std::int32_t>(call.plan.top * kTileQueries);
  scratch.kept_tiles = kept;
  scratch.kept = cutter.cut<float>(kept * kTileKeys * kTileQueries);
  scratch.kept_reference = cutter.cut<float>(kept * kTileQueries);
  for (CellSums& row : memory.open_cells) row = cut_cells(call.plan, cutter);
  if (bytes) *bytes = cutter.used();
  return memory;
}

Workspace lay_out(const Call& call, int threads, std::byte* base) {
  const std::size_t slabs = call.plan.heads * call.plan.slabs;
  Workspace workspace;
  cut_slab(call, WorkspaceCutter(nullptr), &workspace.slab_bytes);
  cut_thread(call, WorkspaceCutter(nullptr), &workspace.thread_bytes);
  WorkspaceCutter cutter(base);
  workspace.packed = cut_heads(call.args.key, call.value(), cutter);
  workspace.sums = cutter.cut<AttentionMapSums>(slabs);
  workspace.slabs = cutter.cut<std::byte>(slabs * workspace.slab_bytes);
  workspace.threads = cutter.cut<std::byte>(static_cast<std::size_t>(threads) * workspace.thread_bytes);
  workspace.bytes = cutter.used();
  return workspace;
}

// The part of the rectangle in the block's rows; zero first, since tiles without a visible key are left out.
void place_rectangle(const AttentionMapArgs& args, std::size_t head, std::size_t first_query,
                     AttentionMapBlock& block) {
  if (args.rectangle.empty()) return;
  const std::size_t first = std::max(first_query, args.first_query);
  const std::size_t end = std::min(first_query + block.scores.queries, args.first_query + args.rectangle.shape[1]);
  if (first >= end) return;
  block.rectangle = map_row<float>(args.rectangle, head, first - args.first_query);
  block.rectangle_stride = args.rectangle.strides[1];
  block.rectangle_lane = first - first_query;
  block.rectangle_lanes = end - first;
  block.rectangle_key = args.first_key;
  block.rectangle_keys = args.rectangle.shape[2];
  for (std::size_t row = 0; row < block.rectangle_lanes; ++row)
    std::fill_n(block.rectangle + row * block.rectangle_stride, block.rectangle_keys, 0.0f);
}

AttentionMapBlock block_of(const Call& call, const PackedHeads& packed, std::size_t head, std::size_t first_query,
                           std::size_t queries, const AttentionMapSums& sums) {
  const auto& [args, attention, plan] = call;
  AttentionMapBlock block;
  if (attention) {
    block.scores = attention_block_of(*attention, packed, head, first_query, queries, plan.end_key);
  } else {
    block.scores = scores_of(args, packed, head, first_query, queries, plan.end_key);
    block.log_sum_exp = args.log_sum_exp.row(head) + first_query;
  }
  block.first_key = plan.first_key;
  block.received = sums.received;
  if (sums.diagonals) block.diagonals = sums.diagonals + plan.diagonal_origin() + first_query;
  block.cells = plan.cells;
  block.all_keys = plan.keys;
  block.top = plan.top;
  block.top_index = map_row<std::int32_t>(args.top_index, head, first_query);
  block.top_weight = map_row<float>(args.top_weight, head, first_query);
  block.top_index_stride = args.top_index.strides[1];
  block.top_weight_stride = args.top_weight.strides[1];
  place_rectangle(args, head, first_query, block);
  return block;
}

void read_slab(const Call& call, const PackedHeads& packed, std::size_t head, std::size_t slab,
               const AttentionMapSums& sums, const ThreadMemory& memory) {
  const AttentionMapPlan& plan = call.plan;
  const std::size_t first_block = plan.first_block(slab), end_block = plan.first_block(slab + 1);
  if (sums.received) std::fill_n(sums.received, plan.keys + kMostMapLanes, 0.0f);
  if (sums.diagonals) std::fill_n(sums.diagonals, plan.diagonals(), 0.0f);
  CellRow cell_rows[kTileQueries];
  CellRows cells(call.args, plan, head, memory.open_cells, sums, plan.block_query(first_block),
                 plan.block_query(end_block));
  for (std::size_t b = first_block; b < end_block; ++b) {
    const std::size_t first_query = plan.block_query(b), queries = plan.block_query(b + 1) - first_query;
    AttentionMapBlock block = block_of(call, packed, head, first_query, queries, sums);
    if (plan.cells > 0) block.cell_row_count = cells.begin_block(first_query, queries, cell_rows);
    block.cell_rows = cell_rows;
    HWY_DYNAMIC_DISPATCH(read_map_block)(block, memory.scratch);
    if (plan.cells > 0) cells.end_block(first_query, queries);
  }
  if (plan.cells > 0) cells.end_slab();
}

void run(const Call& call, const Context& context) {
  const AttentionMapPlan& plan = call.plan;
  const Workspace workspace = lay_out(call, context.threads, context.workspace.data());
  const std::size_t tasks = plan.heads * plan.slabs;
  for (std::size_t task = 0; task < tasks; ++task)
    workspace.sums[task] = cut_slab(call, WorkspaceCutter(workspace.slabs + task * workspace.slab_bytes));
#pragma omp parallel num_threads(context.threads)
  {
    pack_heads(call.args.key, call.value(), workspace.packed);
    const auto thread = static_cast<std::size_t>(omp_get_thread_num());
    const ThreadMemory memory = cut_thread(call, WorkspaceCutter(workspace.threads + thread * workspace.thread_bytes));
#pragma omp for schedule(dynamic)
    for (std::size_t task = 0; task < tasks; ++task) {
      const std::size_t head = task / plan.slabs;
      const std::size_t slab = plan.slabs - 1 - task % plan.slabs;  // with a causal mask the last is the longest
      read_slab(call, workspace.packed, head, slab, workspace.sums[head * plan.slabs + slab], memory);
    }
#pragma omp for schedule(dynamic)
    for (std::size_t head = 0; head < plan.heads; ++head)
      write_attention_map_sums(call.args, plan, head, workspace.sums + head * plan.slabs);
  }
}

}  // namespace

std::size_t attention_map_workspace(const AttentionMapArgs& args, int threads) {
  return lay_out(Call(args), threads, nullptr).bytes;
}

void attention_map(const AttentionMapArgs& args, const Context& context) {
  const Call call(args);
  if (call.plan.blocks == 0 || call.plan.keys == 0) return write_empty_attention_map(args);
  run(call, context);
}

std::size_t attention_with_map_workspace(const AttentionArgs& args, const AttentionMapArgs& map, int threads) {
  return lay_out(Call(args, map), threads, nullptr).bytes;
}

void attention_with_map(const AttentionArgs& args, const AttentionMapArgs& map, const Context& context) {
  run(Call(args, map), context);
}

}  // namespace lexiscope::cpu
#endif
