// The order of the neighbour search's steps, and its last ones: measuring the candidates in double, and queries against
// all points where there are too many.
#include <algorithm>

#include "kernels/cuda/exact_distance.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/neighbors.h"
#include "kernels/cuda/sorted_keys.cuh"
#include "kernels/cuda/workspace_cutter.h"

namespace lexiscope::cuda {
namespace {

struct Layout {
  NeighborsTable table;
  Candidate* candidates;
  int* counts;
  unsigned* overflows;  // one a chunk
  std::int32_t* overflowing;
  Key* keys;    // [exhaustive_blocks][N]
  Key* sorted;  // [exhaustive_blocks][sorted_room(k)]
};

std::size_t chunks_of(std::size_t queries, const NeighborsConfig& config) {
  return (queries + config.queries_per_chunk - 1) / config.queries_per_chunk;
}

std::size_t whole_tiles(std::size_t rows) { return (rows + kTileRows - 1) / kTileRows * kTileRows; }

TableRows cut_rows(WorkspaceCutter& cutter, std::size_t rows, unsigned slices) {
  TableRows table{};
  table.rounded = cutter.cut<std::uint16_t>(whole_tiles(rows) * slices * kSliceColumns);
  table.terms = cutter.cut<RowTerms>(whole_tiles(rows));
  return table;
}

Layout cut_layout(WorkspaceCutter& cutter, const NeighborsArgs& args, const NeighborsConfig& config) {
  const std::size_t N = args.points.rows, M = args.indices.rows, k = args.indices.columns;
  const bool self = args.queries.empty(), cosine = args.metric == Metric::cosine;
  Layout layout{};
  layout.table.summary = cutter.cut<NeighborsSummary>(1);
  if (cosine) {
    layout.table.point_scales = cutter.cut<double>(N);
    layout.table.query_scales = self ? layout.table.point_scales : cutter.cut<double>(M);
    layout.table.zeros = cutter.cut<std::int32_t>(k);
  }
  layout.keys = cutter.cut<Key>(config.exhaustive_blocks * N);
  layout.sorted = cutter.cut<Key>(config.exhaustive_blocks * sorted_room(k));
  if (!config.filters) return layout;

  const std::size_t chunk = std::min(config.queries_per_chunk, M);
  layout.table.center = cutter.cut<double>(args.points.columns);
  layout.table.points = cut_rows(cutter, N, config.slices);
  layout.table.tile_terms = cutter.cut<TileTerms>(whole_tiles(N) / kTileRows);
  layout.table.queries = self ? layout.table.points : cut_rows(cutter, chunk, config.slices);
  layout.candidates = cutter.cut<Candidate>(chunk * candidates_variant(config.variant)->capacity);
  layout.counts = cutter.cut<int>(chunk);
  layout.overflows = cutter.cut<unsigned>(chunks_of(M, config));
  layout.overflowing = cutter.cut<std::int32_t>(chunk);
  return layout;
}

Layout layout_in(void* workspace, const NeighborsArgs& args, const NeighborsConfig& config) {
  WorkspaceCutter cutter(workspace);
  return cut_layout(cutter, args, config);
}

ExactDistances distances_of(const NeighborsArgs& args, const NeighborsTable& table) {
  return {args.points, args.queries.empty() ? args.points : args.queries, table.point_scales, table.query_scales,
          args.metric};
}

__global__ void clear_kernel(unsigned* values, std::size_t count) {
  for (std::size_t at = threadIdx.x; at < count; at += blockDim.x) values[at] = 0;
}

// The first k of the sorted keys are a query's list.
struct NeighborLists {
  MatrixView<std::int32_t> indices;
  MatrixView<float> distances;

  template <unsigned kThreads>
  __device__ void write(std::size_t query, const Key* sorted) const {
    for (std::size_t n = threadIdx.x; n < indices.columns; n += kThreads) {
      indices.row(query)[n] = point_of(sorted[n]);
      distances.row(query)[n] = distance_of(sorted[n]);
    }
  }
};

// ---- the candidates ----

constexpr unsigned kRankThreads = 128;

struct RankWork {
  ExactDistances distances;
  NeighborLists lists;
  const Candidate* candidates;  // of a chunk, which begins at first_query
  const int* counts;
  const std::int32_t* zeros;  // cosine: at distance 1 from everything, and no candidates
  const NeighborsSummary* summary;
  std::size_t first_query;
};

template <unsigned kCapacity>
struct RankShared {
  Key keys[2 * kCapacity];  // a list's candidates and k zero vectors: sorted_room() of them at most
};

// A block for a query.
template <unsigned kCapacity>
__global__ void __launch_bounds__(kRankThreads) rank_kernel(RankWork work) {
  auto& shared = shared_memory<RankShared<kCapacity>>();
  const int count = work.counts[blockIdx.x];
  if (count == kTooMany) return;
  const auto candidates = static_cast<unsigned>(count), wanted = static_cast<unsigned>(work.lists.indices.columns);
  const std::size_t query = work.first_query + blockIdx.x;
  const unsigned zeros = work.zeros ? min(work.summary->zero_points, wanted) : 0;
  const Candidate* list = work.candidates + std::size_t{blockIdx.x} * kCapacity;
  for (unsigned n = threadIdx.x / kWarpSize; n < candidates; n += kRankThreads / kWarpSize) {
    const Key key = work.distances.key(query, static_cast<std::size_t>(list[n].point));
    if (threadIdx.x % kWarpSize == 0) shared.keys[n] = key;
  }
  const auto room = static_cast<unsigned>(sorted_room(candidates + zeros));
  // Two loops, since of `n < zeros ? make_key(1, ...) : kLastKey` nvcc 13.0 makes keys whose upper half is kLastKey's.
  for (unsigned n = threadIdx.x; n < zeros; n += kRankThreads)
    shared.keys[candidates + n] = make_key(1, static_cast<std::size_t>(work.zeros[n]));
  for (unsigned n = candidates + zeros + threadIdx.x; n < room; n += kRankThreads) shared.keys[n] = kLastKey;
  sort_keys<kRankThreads>(shared.keys, room);
  work.lists.template write<kRankThreads>(query, shared.keys);
}

template <unsigned kCapacity>
void rank(const RankWork& work, std::size_t queries, cudaStream_t stream) {
  launch("neighbors_rank", rank_kernel<kCapacity>,
         {.blocks = static_cast<unsigned>(queries),
          .threads = kRankThreads,
          .shared_bytes = sizeof(RankShared<kCapacity>)},
         stream, work);
}

// ---- all points ----

constexpr unsigned kExhaustiveThreads = 256;

struct ExhaustiveWork {
  ExactDistances distances;
  NeighborLists lists;
  const std::int32_t* rows;  // of the chunk, [*count]; null: all of the chunk's queries
  const unsigned* count;
  std::size_t first_query, queries;
  Key *keys, *sorted;
  bool self;
};

struct ExhaustiveShared {
  SelectShared select;
  unsigned collected;
};

// Query after query, with room for one's distances a block.
__global__ void __launch_bounds__(kExhaustiveThreads) exhaustive_kernel(ExhaustiveWork work) {
  auto& shared = shared_memory<ExhaustiveShared>();
  const std::size_t N = work.distances.points.rows, k = work.lists.indices.columns, room = sorted_room(k);
  const std::size_t count = work.rows ? *work.count : work.queries;
  Key *const keys = work.keys + blockIdx.x * N, *const sorted = work.sorted + blockIdx.x * room;
  for (std::size_t n = blockIdx.x; n < count; n += gridDim.x) {
    const std::size_t query = work.first_query + (work.rows ? static_cast<std::size_t>(work.rows[n]) : n);
    for (std::size_t point = threadIdx.x / kWarpSize; point < N; point += kExhaustiveThreads / kWarpSize) {
      const Key key = work.self && point == query ? kLastKey : work.distances.key(query, point);
      if (threadIdx.x % kWarpSize == 0) keys[point] = key;
    }
    if (threadIdx.x == 0) shared.collected = 0;
    __syncthreads();
    const Key last = select_key<kExhaustiveThreads>(keys, N, k - 1, shared.select);
    for (std::size_t point = threadIdx.x; point < N; point += kExhaustiveThreads)
      if (keys[point] <= last) sorted[atomicAdd(&shared.collected, 1u)] = keys[point];
    for (std::size_t at = k + threadIdx.x; at < room; at += kExhaustiveThreads) sorted[at] = kLastKey;
    sort_keys<kExhaustiveThreads>(sorted, room);
    work.lists.template write<kExhaustiveThreads>(query, sorted);
    __syncthreads();
  }
}

void search_exhaustively(const NeighborsArgs& args, const NeighborsConfig& config, const Layout& layout,
                         const NeighborLists& lists, const unsigned* overflows, std::size_t first, std::size_t queries,
                         cudaStream_t stream) {
  const ExhaustiveWork work{.distances = distances_of(args, layout.table),
                            .lists = lists,
                            .rows = config.filters ? layout.overflowing : nullptr,
                            .count = overflows,
                            .first_query = first,
                            .queries = queries,
                            .keys = layout.keys,
                            .sorted = layout.sorted,
                            .self = args.queries.empty()};
  launch("neighbors_exhaustive", exhaustive_kernel,
         {.blocks = static_cast<unsigned>(std::min<std::size_t>(config.exhaustive_blocks, queries)),
          .threads = kExhaustiveThreads,
          .shared_bytes = sizeof(ExhaustiveShared)},
         stream, work);
}

// ---- the configuration ----

constexpr std::size_t kExhaustiveBytes = std::size_t{256} << 20;  // of distances that wait for being sorted
constexpr std::size_t kQueriesAnOverflow = 64;  // blocks are ready for one query of so many to have too many candidates
constexpr double kExhaustiveTerms = 1e12;       // of distances that one call measures: about half a second

unsigned blocks_that_fit(const CandidatesVariant& variant, const cudaDeviceProp& device) {
  constexpr std::size_t kReserved = 1024;  // of each block
  if (variant.shared_bytes > device.sharedMemPerBlockOptin) return 0;
  return std::min<unsigned>(
      2, static_cast<unsigned>(device.sharedMemPerMultiprocessor / (variant.shared_bytes + kReserved)));
}

}  // namespace

NeighborsConfig choose_neighbors_config(std::size_t N, std::size_t M, std::size_t d, std::size_t k,
                                        const cudaDeviceProp& device) {
  const auto processors = static_cast<std::size_t>(device.multiProcessorCount);
  const auto slices = static_cast<unsigned>((d + kSliceColumns - 1) / kSliceColumns);
  NeighborsConfig config{};
  const std::size_t a_block = N * sizeof(Key);
  const std::size_t most_blocks = std::clamp<std::size_t>(kExhaustiveBytes / a_block, 1, 4 * processors);
  for (std::size_t number = 0; const CandidatesVariant* variant = candidates_variant(number); ++number) {
    const unsigned blocks = blocks_that_fit(*variant, device);
    const bool holds = variant->slices == 0 || slices <= variant->slices;
    if (!holds || blocks == 0 || k > most_neighbors(variant->capacity)) continue;
    config.filters = true;
    config.variant = number;
    config.slices = variant->slices == 0 ? slices : variant->slices;
    const std::size_t waves = variant->capacity <= 512 ? 2 : 1;
    config.queries_per_chunk = waves * blocks * processors * kTileRows;
    config.exhaustive_blocks = static_cast<unsigned>(std::min(M / kQueriesAnOverflow + 1, most_blocks));
    return config;
  }
  config.exhaustive_blocks = static_cast<unsigned>(std::min(M, most_blocks));
  const double a_query = static_cast<double>(N) * static_cast<double>(d);
  config.queries_per_chunk =
      static_cast<std::size_t>(std::clamp(kExhaustiveTerms / (a_query * kTileRows), 1.0, 1024.0)) * kTileRows;
  return config;
}

std::size_t neighbors_workspace(const NeighborsArgs& args, const NeighborsConfig& config) {
  WorkspaceCutter cutter(nullptr);
  cut_layout(cutter, args, config);
  return cutter.used();
}

void prepare_neighbors(const NeighborsArgs& args, const NeighborsConfig& config, void* workspace, cudaStream_t stream) {
  const Layout layout = layout_in(workspace, args, config);
  build_scales(args, layout.table, stream);
  if (config.filters) {
    launch("neighbors_clear", clear_kernel, {.blocks = 1, .threads = 256}, stream, layout.overflows,
           chunks_of(args.indices.rows, config));
    build_points_table(args, config.slices, layout.table, stream);
  }
}

void neighbors(const NeighborsArgs& args, const NeighborsConfig& config, std::size_t first, std::size_t last,
               void* workspace, cudaStream_t stream) {
  const Layout layout = layout_in(workspace, args, config);
  const NeighborLists lists{args.indices, args.distances};
  const std::size_t queries = last - first;
  unsigned* overflows = config.filters ? layout.overflows + first / config.queries_per_chunk : nullptr;
  if (config.filters) {
    const bool self = args.queries.empty();
    if (!self) build_queries_table(args, config.slices, layout.table, first, last, stream);
    find_candidates({.table = layout.table,
                     .points = args.points.rows,
                     .queries = queries,
                     .first_query = first,
                     .slices = config.slices,
                     .neighbors = static_cast<unsigned>(args.indices.columns),
                     .self = self,
                     .candidates = layout.candidates,
                     .counts = layout.counts,
                     .overflows = overflows,
                     .overflowing = layout.overflowing},
                    config.variant, stream);
    const RankWork work{.distances = distances_of(args, layout.table),
                        .lists = lists,
                        .candidates = layout.candidates,
                        .counts = layout.counts,
                        .zeros = layout.table.zeros,
                        .summary = layout.table.summary,
                        .first_query = first};
    candidates_variant(config.variant)->capacity == 512 ? rank<512>(work, queries, stream)
                                                        : rank<2048>(work, queries, stream);
  }
  search_exhaustively(args, config, layout, lists, overflows, first, queries, stream);
}

}  // namespace lexiscope::cuda
