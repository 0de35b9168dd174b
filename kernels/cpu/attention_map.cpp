// Attention's map from a second pass over Q K^T, tile by tile: each tile's scores become weights by the log-sum-exp of
// the first pass, and everything wanted is read off the tile while it is in the first-level cache.
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
#include "kernels/cpu/attention_tiles-inl.h"

#if HWY_TARGET == HWY_AVX3_DL  // as attention_tiles-inl.h
HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512bf16")
#else
HWY_BEFORE_NAMESPACE();
#endif
namespace lexiscope::cpu::HWY_NAMESPACE {
namespace {
using namespace attention_map_tiles;

// Weights are 2^(score * log2_scale - reference). A lane without a query, or whose query sees no key, gets 0.
void set_references(const AttentionMapBlock& block, float* reference) {
  std::fill_n(reference, kTileQueries, 1e30f);
  for (std::size_t i = 0; i < block.scores.queries; ++i)
    if (block.log_sum_exp[i] != kNone) reference[i] = static_cast<float>(block.log_sum_exp[i] * std::numbers::log2e);
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

void write_lists(const AttentionMapBlock& block, float log2_scale, const float* reference,
                 const AttentionMapScratch& scratch) {
  const Vector scale = hn::Set(F32(), log2_scale);
  alignas(kAlignment) float weights[kTileQueries];
  for (std::size_t n = 0; n < block.top; ++n) {
    const float* const scores = scratch.top_scores + n * kTileQueries;
    const std::int32_t* const keys = scratch.top_keys + n * kTileQueries;
    for (std::size_t lane = 0; lane < kTileQueries; lane += kLanes) {
      const Vector x = hn::MulSub(hn::Load(F32(), scores + lane), scale, hn::Load(F32(), reference + lane));
      hn::Store(exp2(x), F32(), weights + lane);
    }
    for (std::size_t i = 0; i < block.scores.queries; ++i) {
      block.top_weight[i * block.top_weight_stride + n] = weights[i];
      block.top_index[i * block.top_index_stride + n] = keys[i];
    }
  }
}

template <typename Product>
void read_map(const AttentionMapBlock& block, const AttentionMapScratch& scratch) {
  const AttentionBlock& scores = block.scores;
  const std::size_t lanes = lanes_of(scores);
  const float log2_scale = log2_scale_of(scores);
  alignas(kAlignment) float tile_maximum[kTileQueries], reference[kTileQueries];
  set_references(block, reference);
  if (block.top > 0) start_lists(block, scratch);
  pack_queries<Product>(scores, scratch.tiles.query);
  for (std::size_t first_key = block.first_key; first_key < scores.keys; first_key += kTileKeys) {
    const Tile tile{scratch.tiles.weights, first_key, std::min(kTileKeys, scores.keys - first_key), lanes};
    if (!has_visible_key(scores, first_key, tile.keys)) continue;
    score_tile<Product>(scores, first_key, tile.keys, lanes, scratch.tiles, tile_maximum);
    if (needs_mask(scores, first_key, tile.keys))
      mask_tile(scores, first_key, tile.keys, lanes, tile.values, tile_maximum);
    if (block.top > 0) insert_largest(tile, block.top, scratch);
    if (!block.needs_weights()) continue;
    weigh_map_tile(tile, log2_scale, reference);
    if (block.received) add_received(tile, block.received);
    if (block.diagonals) add_diagonals(tile, block.diagonals, scratch.diagonals);
    if (block.cells > 0) add_cells(block, tile);
    if (block.rectangle) write_rectangle(block, tile);
  }
  if (block.top > 0) write_lists(block, log2_scale, reference, scratch);
}

}  // namespace

void read_map_block(const AttentionMapBlock& block, const AttentionMapScratch& scratch) {
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

struct Workspace {
  PackedHeads packed;
  AttentionMapSums* sums = nullptr;  // [heads * slabs]
  std::byte *slabs = nullptr, *threads = nullptr;
  std::size_t slab_bytes = 0, thread_bytes = 0, bytes = 0;
};

CellSums cut_cells(const AttentionMapPlan& plan, WorkspaceCutter& cutter) {
  return {cutter.cut<double>(plan.cells), cutter.cut<float>(plan.cells)};
}

AttentionMapSums cut_slab(const AttentionMapArgs& args, const AttentionMapPlan& plan, WorkspaceCutter cutter,
                          std::size_t* bytes = nullptr) {
  AttentionMapSums sums;
  if (!args.received.empty()) sums.received = cutter.cut<float>(plan.keys + kMostMapLanes);
  if (!args.by_distance.empty()) sums.diagonals = cutter.cut<float>(plan.diagonals());
  for (CellSums& row : sums.cell_rows) row = cut_cells(plan, cutter);
  if (bytes) *bytes = cutter.used();
  return sums;
}

struct ThreadMemory {
  AttentionMapScratch scratch;
  std::array<CellSums, 2> open_cells;
};

ThreadMemory cut_thread(const AttentionMapArgs& args, const AttentionMapPlan& plan, WorkspaceCutter cutter,
                        std::size_t* bytes = nullptr) {
  ThreadMemory memory;
  memory.scratch.tiles.query = cutter.cut<float>(args.query.shape[2] * kTileQueries);
  memory.scratch.tiles.weights = cutter.cut<float>(kTileKeys * kTileQueries);
  memory.scratch.diagonals = cutter.cut<float>(kDiagonalScratch);
  memory.scratch.top_scores = cutter.cut<float>(plan.top * kTileQueries);
  memory.scratch.top_keys = cutter.cut<std::int32_t>(plan.top * kTileQueries);
  for (CellSums& row : memory.open_cells) row = cut_cells(plan, cutter);
  if (bytes) *bytes = cutter.used();
  return memory;
}

Workspace lay_out(const AttentionMapArgs& args, const AttentionMapPlan& plan, int threads, std::byte* base) {
  Workspace workspace;
  cut_slab(args, plan, WorkspaceCutter(nullptr), &workspace.slab_bytes);
  cut_thread(args, plan, WorkspaceCutter(nullptr), &workspace.thread_bytes);
  WorkspaceCutter cutter(base);
  workspace.packed = cut_heads(args.key, {}, cutter);
  workspace.sums = cutter.cut<AttentionMapSums>(plan.heads * plan.slabs);
  workspace.slabs = cutter.cut<std::byte>(plan.heads * plan.slabs * workspace.slab_bytes);
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

AttentionMapBlock block_of(const AttentionMapArgs& args, const AttentionMapPlan& plan, const PackedHeads& packed,
                           std::size_t head, std::size_t first_query, std::size_t queries,
                           const AttentionMapSums& sums) {
  AttentionMapBlock block{.scores = scores_of(args, packed, head, first_query, queries, plan.end_key)};
  block.first_key = plan.first_key;
  block.log_sum_exp = args.log_sum_exp.row(head) + first_query;
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

void read_slab(const AttentionMapArgs& args, const AttentionMapPlan& plan, const PackedHeads& packed, std::size_t head,
               std::size_t slab, const AttentionMapSums& sums, const ThreadMemory& memory) {
  const std::size_t first_block = plan.first_block(slab), end_block = plan.first_block(slab + 1);
  if (sums.received) std::fill_n(sums.received, plan.keys + kMostMapLanes, 0.0f);
  if (sums.diagonals) std::fill_n(sums.diagonals, plan.diagonals(), 0.0f);
  CellRow cell_rows[kTileQueries];
  CellRows cells(args, plan, head, memory.open_cells, sums, plan.block_query(first_block), plan.block_query(end_block));
  for (std::size_t b = first_block; b < end_block; ++b) {
    const std::size_t first_query = plan.block_query(b), queries = plan.block_query(b + 1) - first_query;
    AttentionMapBlock block = block_of(args, plan, packed, head, first_query, queries, sums);
    if (plan.cells > 0) block.cell_row_count = cells.begin_block(first_query, queries, cell_rows);
    block.cell_rows = cell_rows;
    HWY_DYNAMIC_DISPATCH(read_map_block)(block, memory.scratch);
    if (plan.cells > 0) cells.end_block(first_query, queries);
  }
  if (plan.cells > 0) cells.end_slab();
}

}  // namespace

std::size_t attention_map_workspace(const AttentionMapArgs& args, int threads) {
  return lay_out(args, plan_attention_map(args), threads, nullptr).bytes;
}

void attention_map(const AttentionMapArgs& args, const Context& context) {
  const AttentionMapPlan plan = plan_attention_map(args);
  if (plan.blocks == 0 || plan.keys == 0) return write_empty_attention_map(args);
  const Workspace workspace = lay_out(args, plan, context.threads, context.workspace.data());
  const std::size_t tasks = plan.heads * plan.slabs;
  for (std::size_t task = 0; task < tasks; ++task)
    workspace.sums[task] = cut_slab(args, plan, WorkspaceCutter(workspace.slabs + task * workspace.slab_bytes));
#pragma omp parallel num_threads(context.threads)
  {
    pack_heads(args.key, {}, workspace.packed);
    const auto thread = static_cast<std::size_t>(omp_get_thread_num());
    const ThreadMemory memory =
        cut_thread(args, plan, WorkspaceCutter(workspace.threads + thread * workspace.thread_bytes));
#pragma omp for schedule(dynamic)
    for (std::size_t task = 0; task < tasks; ++task) {
      const std::size_t head = task / plan.slabs;
      const std::size_t slab = plan.slabs - 1 - task % plan.slabs;  // with a causal mask the last is the longest
      read_slab(args, plan, workspace.packed, head, slab, workspace.sums[head * plan.slabs + slab], memory);
    }
#pragma omp for schedule(dynamic)
    for (std::size_t head = 0; head < plan.heads; ++head)
      write_attention_map_sums(args, plan, head, workspace.sums + head * plan.slabs);
  }
}

}  // namespace lexiscope::cpu
#endif
