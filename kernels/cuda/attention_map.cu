// A block owns a run of a head's queries. It makes tiles of 64 x 64 weights in shared memory, one after the other along
// the keys, and each observable reads what it needs from there. Sums over queries go to the block's own place in the
// workspace, and a second kernel adds these up in the order of the blocks.
#include <algorithm>
#include <cmath>
#include <type_traits>

#include "kernels/cuda/attention_map.h"
#include "kernels/cuda/attention_map_plan.h"
#include "kernels/cuda/attention_rows.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/ranked.cuh"
#include "kernels/cuda/running_softmax.cuh"
#include "kernels/cuda/warp.h"

namespace lexiscope::cuda {
namespace {

constexpr unsigned kWeightStride = kTile + 2;
constexpr unsigned kWarps = kTileThreads / kWarpSize;
constexpr unsigned kRowsAWarp = kTile / kWarps;

// What a call computes and where its blocks' partial sums lie.
struct MapPlan {
  RowTiles tiles;
  Range keys;        // that are looked at
  bool skip_masked;  // keys past the last that a tile's queries see
  unsigned queries, all_keys, cells, spans;
  std::size_t received = 0, diagonals = 0, cut_cells = 0, span_floats = 0;  // offsets in a span's floats

  __host__ __device__ float* partial(float* workspace, std::size_t head, unsigned span) const {
    return workspace + (head * spans + span) * span_floats;
  }
};

bool sums_wanted(const AttentionMapArgs& args) {
  return !args.received.empty() || !args.by_distance.empty() || !args.pooled_mean.empty() ||
         !args.pooled_maximum.empty();
}

MapPlan plan_of(const AttentionMapArgs& args, unsigned spans) {
  const auto narrow = [](std::size_t x) { return static_cast<unsigned>(x); };
  const unsigned queries = narrow(args.query.shape[1]), keys = narrow(args.key.shape[1]);
  const unsigned cells = narrow(args.pooled_mean.empty() ? args.pooled_maximum.shape[1] : args.pooled_mean.shape[1]);
  const bool rectangle_alone = !sums_wanted(args) && args.top_index.empty();
  const unsigned first_query = rectangle_alone ? narrow(args.first_query) : 0;
  const unsigned first_key = rectangle_alone ? narrow(args.first_key) : 0;
  const unsigned rows = rectangle_alone ? narrow(args.rectangle.shape[1]) : queries;
  const unsigned columns = rectangle_alone ? narrow(args.rectangle.shape[2]) : keys;
  MapPlan plan{.tiles = RowTiles(first_query, rows, cells, kTile),
               .keys = {first_key, first_key + columns},
               .skip_masked = args.rectangle.empty(),
               .queries = queries,
               .all_keys = keys,
               .cells = cells,
               .spans = spans};
  const auto place = [&](bool wanted, std::size_t floats) {
    const std::size_t at = plan.span_floats;
    if (wanted) plan.span_floats += floats;
    return at;
  };
  plan.received = place(!args.received.empty(), keys);
  plan.diagonals = place(!args.by_distance.empty(), std::size_t{queries} + keys);
  plan.cut_cells = place(plan.tiles.cuts_cells(), std::size_t{4} * cells);
  return plan;
}

struct AttentionMapShared {
  PanelPair ring[2];
  float weights[kTile][kWeightStride];  // a_ij; -0 where masked, which adds nothing and differs from a weight that
                                        // vanishes
  float log_sum_exp[kTile];
  Ranked top[kTile][kWarpSize];
  unsigned cell_begin[kTile + 1];  // of the tile's rows of cells, counted from its first row
};

template <typename Element>
__device__ Element* row_of(const TensorView& view, std::size_t head, std::size_t row) {
  return static_cast<Element*>(view.data) + head * view.strides[0] + row * view.strides[1];
}

// The largest of weights that are 0 or more; of none or masked ones, 0.
struct CellSum {
  float sum = 0, maximum = 0;
  __device__ void add(float weight) { combine(weight, weight); }
  __device__ void combine(float other_sum, float other_maximum) {
    sum += other_sum;
    maximum = fmaxf(maximum, other_maximum);
  }
};

// Where a row of cells is summed up: in the outputs, or in the workspace where several blocks share it. Null: not
// wanted.
struct CellRow {
  float *sums, *maxima;
};

// One block's work on its run of queries.
struct MapBlock {
  const AttentionMapArgs& args;
  const MapPlan& plan;
  AttentionMapShared& shared;
  float* partial;
  unsigned first_top;  // the first of the ranks that this pass finds
  std::size_t head = blockIdx.y;
  unsigned span = blockIdx.x;
  Range rows{}, cells{};  // of the current tile

  __device__ bool has_whole(unsigned cell) const {
    const Range of_cell = plan.tiles.tiles_of(cell);
    const Range mine = tiles_of_span(span, plan.spans, plan.tiles.count());
    return of_cell.begin >= mine.begin && of_cell.end <= mine.end;
  }

  __device__ CellRow cell_row(unsigned cell) const {
    if (has_whole(cell))
      return {args.pooled_mean.empty() ? nullptr : row_of<float>(args.pooled_mean, head, cell),
              args.pooled_maximum.empty() ? nullptr : row_of<float>(args.pooled_maximum, head, cell)};
    // At most the block's first and its last row of cells are cut.
    const Range mine = tiles_of_span(span, plan.spans, plan.tiles.count());
    const unsigned slot = cell == plan.tiles.cells_of(mine.begin).begin ? 0 : 1;
    float* sums = partial + plan.cut_cells + std::size_t{2} * slot * plan.cells;
    return {sums, sums + plan.cells};
  }

  // Calls visit(cell, row) for each row of cells that lies in the block wholly.
  template <typename Visit>
  __device__ void for_each_whole_cell_row(Visit visit) const {
    if (plan.cells == 0) return;
    const Range mine = tiles_of_span(span, plan.spans, plan.tiles.count());
    const unsigned end = plan.tiles.cells_of(mine.end - 1).end;
    for (unsigned cell = plan.tiles.cells_of(mine.begin).begin; cell < end; ++cell)
      if (has_whole(cell)) visit(cell, cell_row(cell));
  }

  __device__ void clear() const {
    for (std::size_t at = threadIdx.x; at < plan.span_floats; at += kTileThreads) partial[at] = 0;
    for_each_whole_cell_row([&](unsigned, const CellRow& row) {
      for (unsigned column = threadIdx.x; column < plan.cells; column += kTileThreads) {
        if (row.sums) row.sums[column] = 0;
        if (row.maxima) row.maxima[column] = 0;
      }
    });
  }

  __device__ void divide_sums() const {
    for_each_whole_cell_row([&](unsigned cell, const CellRow& row) {
      if (!row.sums) return;
      const unsigned height = range_of_cell(cell, plan.cells, plan.queries).size();
      for (unsigned column = threadIdx.x; column < plan.cells; column += kTileThreads) {
        const unsigned width = range_of_cell(column, plan.cells, plan.all_keys).size();
        row.sums[column] /= static_cast<float>(height) * static_cast<float>(width);
      }
    });
  }

  __device__ void begin_tile(unsigned tile) {
    rows = plan.tiles.rows_of(tile);
    cells = plan.tiles.cells_of(tile);
    if (threadIdx.x < rows.size())
      shared.log_sum_exp[threadIdx.x] = args.log_sum_exp.row(head)[rows.begin + threadIdx.x];
    if (plan.cells > 0 && threadIdx.x <= cells.size()) {
      const unsigned begin =
          threadIdx.x == cells.size()
              ? rows.end
              : max(range_of_cell(cells.begin + threadIdx.x, plan.cells, plan.queries).begin, rows.begin);
      shared.cell_begin[threadIdx.x] = begin - rows.begin;
    }
    if (!args.top_index.empty())
      for_each_row_of_warp([&](unsigned row) { shared.top[row][threadIdx.x % kWarpSize] = Ranked::empty(); });
  }

  template <typename Visit>
  __device__ void for_each_row_of_warp(Visit visit) const {
    const unsigned first = threadIdx.x / kWarpSize * kRowsAWarp;
    for (unsigned row = first; row < min(first + kRowsAWarp, rows.size()); ++row) visit(row);
  }

  template <typename Product>
  __device__ void write_weights(const TileOrigin& origin, const Products& products, const Visibility& sees) const {
#pragma unroll
    for (unsigned i = 0; i < 8; ++i)
#pragma unroll
      for (unsigned k = 0; k < 4; ++k) {
        const unsigned row = Product::row(i, k), column = Product::column(i, k);
        const bool visible = row < rows.size() && sees(origin.row + row, origin.column + column);
        const float exponent =
            row < rows.size() ? fmaf(products[i][k], args.scale, -shared.log_sum_exp[row]) * RunningSoftmax::kLog2E : 0;
        shared.weights[row][column] = visible ? exp2_approx(exponent) : -0.0f;
      }
  }

  __device__ void add_received(const TileOrigin& origin) const {
    const unsigned column = threadIdx.x, key = origin.column + column;
    if (column >= kTile || key >= plan.keys.end) return;
    float& received = partial[plan.received + key];
    const float before = received;
    float sum = 0;
#pragma unroll 8
    for (unsigned row = 0; row < kTile; ++row) sum += shared.weights[row][column];
    received = before + sum;
  }

  // Diagonal j + T_q - 1 - i; a thread has one of the tile's 127.
  __device__ void add_diagonals(const TileOrigin& origin) const {
    const int across = static_cast<int>(threadIdx.x) - static_cast<int>(kTile - 1);  // column - row
    const int diagonal = static_cast<int>(origin.column + plan.queries - 1) - static_cast<int>(origin.row) + across;
    if (across >= static_cast<int>(kTile) || diagonal < 0 || diagonal >= static_cast<int>(plan.queries + plan.all_keys))
      return;
    float& place = partial[plan.diagonals + static_cast<unsigned>(diagonal)];
    const float before = place;
    const unsigned first = across < 0 ? static_cast<unsigned>(-across) : 0;
    const unsigned end = across > 0 ? kTile - static_cast<unsigned>(across) : kTile;
    const float* weight = &shared.weights[0][0] + across;
    float sum = 0;
    for (unsigned row = first; row < end; ++row) sum += weight[row * (kWeightStride + 1)];
    place = before + sum;
  }

  // The rank before the first that is wanted: what precedes it or is it was found by an earlier pass.
  __device__ Ranked found_last(unsigned row) const {
    if (first_top == 0) return Ranked::before_all();
    const int index = row_of<int>(args.top_index, head, rows.begin + row)[first_top - 1];
    const float value = row_of<float>(args.top_weight, head, rows.begin + row)[first_top - 1];
    return index < 0 ? Ranked::empty() : Ranked{value, index};
  }

  __device__ unsigned ranks() const {
    return min(static_cast<unsigned>(args.top_index.shape[2]) - first_top, kWarpSize);
  }

  __device__ void rank(const TileOrigin& origin) const {
    const unsigned lane = threadIdx.x % kWarpSize, kept = ranks();
    for_each_row_of_warp([&](unsigned row) {
      Ranked list = shared.top[row][lane];
      const Ranked found = found_last(row);
#pragma unroll
      for (unsigned half = 0; half < 2; ++half) {
        const unsigned column = lane + kWarpSize * half;
        const Ranked candidate{shared.weights[row][column], static_cast<int>(origin.column + column)};
        insert_ranked(list, kept, candidate, !signbit(candidate.value) && found.precedes(candidate));
      }
      shared.top[row][lane] = list;
    });
  }

  __device__ void write_ranks() const {
    const unsigned lane = threadIdx.x % kWarpSize;
    if (lane >= ranks()) return;
    for_each_row_of_warp([&](unsigned row) {
      const Ranked mine = shared.top[row][lane];
      row_of<int>(args.top_index, head, rows.begin + row)[first_top + lane] = mine.is_empty() ? -1 : mine.index;
      row_of<float>(args.top_weight, head, rows.begin + row)[first_top + lane] = mine.is_empty() ? 0 : mine.value;
    });
  }

  __device__ void write_rectangle(const TileOrigin& origin) const {
    const unsigned column = threadIdx.x % kTile, key = origin.column + column;
    const auto first_query = static_cast<unsigned>(args.first_query), first_key = static_cast<unsigned>(args.first_key);
    if (key < first_key || key - first_key >= args.rectangle.shape[2]) return;
    for (unsigned row = threadIdx.x / kTile; row < rows.size(); row += kTileThreads / kTile) {
      const unsigned query = rows.begin + row;
      if (query < first_query || query - first_query >= args.rectangle.shape[1]) continue;
      row_of<float>(args.rectangle, head, query - first_query)[key - first_key] = shared.weights[row][column] + 0.0f;
    }
  }

  // First down the columns within each row of cells, in place: the sum takes the first row, the maximum the second.
  // Then along the columns of each cell.
  __device__ void pool(const TileOrigin& origin) const {
    for (unsigned task = threadIdx.x; task < cells.size() * kTile; task += kTileThreads) {
      const unsigned cell = task / kTile, column = task % kTile;
      const unsigned begin = shared.cell_begin[cell], end = shared.cell_begin[cell + 1];
      CellSum strip;
      for (unsigned row = begin; row < end; ++row) strip.add(shared.weights[row][column]);
      shared.weights[begin][column] = strip.sum;
      if (end - begin > 1) shared.weights[begin + 1][column] = strip.maximum;
    }
    __syncthreads();
    const unsigned end_key = min(origin.column + kTile, plan.keys.end);
    const auto cell_of = [&](unsigned key) {
      return static_cast<unsigned>(std::uint64_t{key} * plan.cells / plan.all_keys);
    };
    const unsigned first_cell = cell_of(origin.column), across = cell_of(end_key - 1) + 1 - first_cell;
    for (unsigned task = threadIdx.x; task < cells.size() * across; task += kTileThreads) {
      const unsigned cell = task / across, cell_column = first_cell + task % across;
      const Range keys = range_of_cell(cell_column, plan.cells, plan.all_keys);
      const unsigned begin = shared.cell_begin[cell];
      const unsigned maxima = shared.cell_begin[cell + 1] - begin > 1 ? begin + 1 : begin;
      CellSum sum;
      for (unsigned key = max(keys.begin, origin.column); key < min(keys.end, end_key); ++key)
        sum.combine(shared.weights[begin][key - origin.column], shared.weights[maxima][key - origin.column]);
      const CellRow to = cell_row(cells.begin + cell);
      if (to.sums) to.sums[cell_column] += sum.sum;
      if (to.maxima) to.maxima[cell_column] = fmaxf(to.maxima[cell_column], sum.maximum);
    }
  }

  __device__ void observe(const TileOrigin& origin) const {
    if (!args.received.empty()) add_received(origin);
    if (!args.by_distance.empty()) add_diagonals(origin);
    if (!args.top_index.empty()) rank(origin);
    if (!args.rectangle.empty()) write_rectangle(origin);
    if (plan.cells == 0) return;
    __syncthreads();  // pooling works in place
    pool(origin);
  }
};

// Of a multiprocessor: with three, f32 would keep some of its sums in memory.
template <typename Element>
[[maybe_unused]] constexpr unsigned kBlocks = std::is_same_v<Element, float> ? 2 : 3;

template <typename Element, bool kAligned>
__global__ void __launch_bounds__(kTileThreads, kBlocks<Element>)
    attention_map_kernel(const AttentionMapArgs args, const MapPlan plan, float* workspace, unsigned first_top) {
  auto& shared = shared_memory<AttentionMapShared>();
  MapBlock block{args, plan, shared, plan.partial(workspace, blockIdx.y, blockIdx.x), first_top};
  const Visibility sees(args);
  block.clear();
  const Range tiles = tiles_of_span(block.span, plan.spans, plan.tiles.count());
  for (unsigned tile = tiles.begin; tile < tiles.end; ++tile) {
    __syncthreads();  // everybody has left the tile before
    block.begin_tile(tile);
    const Range rows = block.rows;
    if (rows.size() == 0) continue;
    auto query = rows_of<Element>(args.query, block.head),
         key = rows_of<Element>(args.key, key_head_of(args, block.head));
    query.count = rows.end;
    key.count = plan.keys.end;
    if (plan.skip_masked) key.count = min(key.count, sees.keys_seen_to(rows.end - 1));
    const unsigned count = key.count > plan.keys.begin ? (key.count - plan.keys.begin + kTile - 1) / kTile : 0;
    for_each_tile<kAligned>(
        shared.ring, query, key, count,
        [&](unsigned n) {
          return TileOrigin{rows.begin, plan.keys.begin + n * kTile};
        },
        [&](const TileOrigin& origin, const Products& products) {
          block.write_weights<TileProduct<Element>>(origin, products, sees);
          __syncthreads();
          block.observe(origin);
        });
    if (!args.top_index.empty()) block.write_ranks();
  }
  __syncthreads();
  block.divide_sums();
}

// What thread `at` of all that share a head adds up, in the order of the spans.
struct Reduction {
  const AttentionMapArgs& args;
  const MapPlan& plan;
  float* workspace;
  std::size_t head, at;

  __device__ float sum_of(std::size_t offset) const {
    float sum = 0;
    for (unsigned span = 0; span < plan.spans; ++span) sum += plan.partial(workspace, head, span)[offset];
    return sum;
  }

  __device__ void received() const {
    if (at < args.received.columns) args.received.row(head)[at] = sum_of(plan.received + at);
  }

  // Diagonal T_k - 1 is at distance 0; a distance has one diagonal on either side, where the map has it.
  __device__ void by_distance() const {
    if (at >= args.by_distance.columns) return;
    const std::size_t middle = plan.all_keys - 1, diagonals = std::size_t{plan.queries} + plan.all_keys - 1;
    float sum = at <= middle ? sum_of(plan.diagonals + middle - at) : 0;
    if (at > 0 && middle + at < diagonals) sum += sum_of(plan.diagonals + middle + at);
    args.by_distance.row(head)[at] = sum;
  }

  // Rows of cells that lie in one block wholly are finished.
  __device__ void cut_cells() const {
    if (at >= std::size_t{plan.cells} * plan.cells) return;
    const unsigned cell = static_cast<unsigned>(at / plan.cells), column = static_cast<unsigned>(at % plan.cells);
    const Range tiles = plan.tiles.tiles_of(cell);
    const unsigned first = span_of_tile(tiles.begin, plan.spans, plan.tiles.count());
    const unsigned last = span_of_tile(tiles.end - 1, plan.spans, plan.tiles.count());
    if (first == last) return;
    CellSum total;
    for (unsigned span = first; span <= last; ++span) {
      const Range mine = tiles_of_span(span, plan.spans, plan.tiles.count());
      const unsigned slot = cell == plan.tiles.cells_of(mine.begin).begin ? 0 : 1;
      const float* sums = plan.partial(workspace, head, span) + plan.cut_cells + std::size_t{2} * slot * plan.cells;
      total.combine(sums[column], sums[plan.cells + column]);
    }
    const float pairs = static_cast<float>(range_of_cell(cell, plan.cells, plan.queries).size()) *
                        static_cast<float>(range_of_cell(column, plan.cells, plan.all_keys).size());
    if (!args.pooled_mean.empty()) row_of<float>(args.pooled_mean, head, cell)[column] = total.sum / pairs;
    if (!args.pooled_maximum.empty()) row_of<float>(args.pooled_maximum, head, cell)[column] = total.maximum;
  }
};

constexpr unsigned kReduceThreads = 256;

__global__ void attention_map_reduce_kernel(const AttentionMapArgs args, const MapPlan plan, float* workspace) {
  const Reduction reduction{args, plan, workspace, blockIdx.y, std::size_t{blockIdx.x} * kReduceThreads + threadIdx.x};
  if (!args.received.empty()) reduction.received();
  if (!args.by_distance.empty()) reduction.by_distance();
  if (plan.tiles.cuts_cells()) reduction.cut_cells();
}

// What a map without queries or without keys shows.
__global__ void attention_map_clear_kernel(const AttentionMapArgs args) {
  const std::size_t head = blockIdx.x;
  const auto fill = [&](auto* row, std::size_t count, auto value) {
    for (std::size_t at = threadIdx.x; at < count; at += kReduceThreads) row[at] = value;
  };
  if (!args.received.empty()) fill(args.received.row(head), args.received.columns, 0.0f);
  if (!args.by_distance.empty()) fill(args.by_distance.row(head), args.by_distance.columns, 0.0f);
  for (const TensorView* view : {&args.pooled_mean, &args.pooled_maximum, &args.top_weight, &args.rectangle})
    for (std::size_t row = 0; !view->empty() && row < view->shape[1]; ++row)
      fill(row_of<float>(*view, head, row), view->shape[2], 0.0f);
  for (std::size_t row = 0; !args.top_index.empty() && row < args.top_index.shape[1]; ++row)
    fill(row_of<int>(args.top_index, head, row), args.top_index.shape[2], -1);
}

template <typename Element>
void launch_pass(const AttentionMapArgs& args, const AttentionMapConfig& config, const MapPlan& plan, float* workspace,
                 unsigned first_top, cudaStream_t stream) {
  if (plan.tiles.count() == 0) return;  // a rectangle without rows
  const auto kernel = config.aligned ? attention_map_kernel<Element, true> : attention_map_kernel<Element, false>;
  launch("attention_map", kernel,
         {.blocks = dim3(plan.spans, static_cast<unsigned>(args.query.shape[0])),
          .threads = kTileThreads,
          .shared_bytes = sizeof(AttentionMapShared)},
         stream, args, plan, workspace, first_top);
}

void launch_pass(const AttentionMapArgs& args, const AttentionMapConfig& config, const MapPlan& plan, float* workspace,
                 unsigned first_top, cudaStream_t stream) {
  if (args.query.dtype == DType::f32)
    launch_pass<float>(args, config, plan, workspace, first_top, stream);
  else if (args.query.dtype == DType::bf16)
    launch_pass<__nv_bfloat16>(args, config, plan, workspace, first_top, stream);
  else
    launch_pass<__half>(args, config, plan, workspace, first_top, stream);
}

void launch_reduction(const AttentionMapArgs& args, const MapPlan& plan, float* workspace, cudaStream_t stream) {
  if (plan.span_floats == 0) return;
  std::size_t results = std::max(args.received.columns, args.by_distance.columns);
  if (plan.tiles.cuts_cells()) results = std::max(results, std::size_t{plan.cells} * plan.cells);
  launch("attention_map_reduce", attention_map_reduce_kernel,
         {.blocks = dim3(static_cast<unsigned>((results + kReduceThreads - 1) / kReduceThreads),
                         static_cast<unsigned>(args.query.shape[0])),
          .threads = kReduceThreads},
         stream, args, plan, workspace);
}

// The passes for the ranks past those that the first pass finds.
void launch_rank_passes(const AttentionMapArgs& args, const AttentionMapConfig& config, cudaStream_t stream) {
  if (args.top_index.empty() || args.top_index.shape[2] <= kWarpSize) return;
  AttentionMapArgs ranks = args;
  ranks.received = ranks.by_distance = {};
  ranks.pooled_mean = ranks.pooled_maximum = ranks.rectangle = {};
  const MapPlan plan = plan_of(ranks, config.spans);
  for (std::size_t first = kWarpSize; first < args.top_index.shape[2]; first += kWarpSize)
    launch_pass(ranks, config, plan, nullptr, static_cast<unsigned>(first), stream);
}

}  // namespace

AttentionMapConfig choose_attention_map_config(const AttentionMapArgs& args, const cudaDeviceProp& device) {
  const unsigned tiles = plan_of(args, 1).tiles.count();
  const auto heads = static_cast<unsigned>(std::max<std::size_t>(args.query.shape[0], 1));
  const unsigned blocks = 2 * static_cast<unsigned>(device.multiProcessorCount);
  return {.aligned = has_aligned_rows(args.query) && has_aligned_rows(args.key),
          .spans = std::max(1u, std::min(tiles, (blocks + heads - 1) / heads))};
}

std::size_t attention_map_workspace(const AttentionMapArgs& args, const AttentionMapConfig& config) {
  return plan_of(args, config.spans).span_floats * config.spans * args.query.shape[0] * sizeof(float);
}

void attention_map(const AttentionMapArgs& asked, const AttentionMapConfig& config, void* workspace,
                   cudaStream_t stream) {
  AttentionMapArgs args = asked;
  if (args.top_index.shape[2] == 0) args.top_index = args.top_weight = {};  // the top 0 are nobody
  const std::size_t heads = args.query.shape[0];
  if (heads == 0) return;
  if (args.query.shape[1] == 0 || args.key.shape[1] == 0) {
    launch("attention_map_clear", attention_map_clear_kernel,
           {.blocks = static_cast<unsigned>(heads), .threads = kReduceThreads}, stream, args);
    return;
  }
  const MapPlan plan = plan_of(args, config.spans);
  auto* partial = static_cast<float*>(workspace);
  launch_pass(args, config, plan, partial, 0, stream);
  launch_reduction(args, plan, partial, stream);
  launch_rank_passes(args, config, stream);
}

}  // namespace lexiscope::cuda
