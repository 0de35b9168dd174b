// A block keeps 128 queries and lets all points pass, tile by tile:
//
//   global -> shared    cp.async, kStages - 1 slices of 64 columns ahead
//   shared -> fragment  ldmatrix; the table lies in memory as shared memory wants it
//   fragment -> score   mma, less norm(x'_j)^2 / 2: so the scores of a query order as the distances do
//   filter              of a row's 16 scores in a thread the largest, and one comparison with the row's threshold
//
// A score that passes is appended to its query's list in global memory. Where a list may not hold another tile, a warp
// tightens it: from the list's own bounds follows within what distance the k nearest lie, and with it a threshold that
// drops most of the list and of what comes after. docs/numerics.md has the bounds. Which points a list holds depends on
// the tiles alone; their order in it does on the hardware, and nothing on the order.
#include <cmath>

#include "kernels/cuda/instructions.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/neighbors_candidates.h"
#include "kernels/cuda/warp.h"

namespace lexiscope::cuda {
namespace {

constexpr unsigned kThreads = 128, kWarps = kThreads / kWarpSize, kWarpsAcross = 2;
constexpr unsigned kWarpRows = 64, kWarpColumns = 64;                   // of scores
constexpr unsigned kDown = kWarpRows / 16, kPairs = kWarpColumns / 16;  // fragments of queries, pairs of points'
constexpr unsigned kSteps = kSliceColumns / 16, kRowBytes = kSliceColumns * 2;
constexpr unsigned kPieceBytes = 16;

/// A query's threshold for a tile is base - margin - reach * error - noise * norm, with the tile's terms. Base is
/// infinite where nothing may pass, -infinity while everything must.
struct alignas(16) RowFilter {
  float base, reach, noise, unused;
};

template <unsigned kSlices, unsigned kStages>
struct CandidatesShared {
  static constexpr unsigned kRowSlices = kSlices == 0 ? kStages : kSlices;
  alignas(128) unsigned char queries[kRowSlices][kSliceBytes];
  alignas(128) unsigned char points[kStages][kSliceBytes];
  TileTerms terms[kStages];  // of tile t in slot t % kStages
  RowFilter filters[kTileRows];
  int counts[kTileRows];
  int crowded[2];  // of tiles with even numbers and odd ones: some list may not hold another tile
};

struct Sums {
  float values[kDown][2 * kPairs][4];
};

// ---- the bounds ----

__device__ float score_noise(const RowTerms& query, const RowTerms& point, unsigned columns) {
  const float norms = query.norm + point.norm;
  return score_error(columns) * norms * norms + score_underflow(columns);
}

// The distance of y_i and y_j is at most this ...
__device__ float upper_distance(const RowTerms& query, const RowTerms& point, float score, float noise) {
  return (sqrt_approx(2 * fmaxf(query.half_square - score + noise, 0.0f)) + (query.error + point.error)) * kRoundUp;
}

// ... and at least this, where it is positive.
__device__ float lower_distance(const RowTerms& query, const RowTerms& point, float score, float noise) {
  return sqrt_approx(2 * fmaxf(query.half_square - score - noise, 0.0f)) * kRoundDown -
         (query.error + point.error) * kRoundUp;
}

// What a point within `distance` of the query scores at least.
__device__ RowFilter filter_of(const RowTerms& query, float distance, unsigned columns) {
  const float reach = (distance + query.error) * kRoundUp, error = score_error(columns);
  return {query.half_square - reach * reach / 2 * kRoundUp - error * query.norm * query.norm, reach,
          2 * error * query.norm * kRoundUp, 0};
}

struct TileLimits {
  float error, norm, margin;
};

__device__ float threshold_of(const RowFilter& filter, const TileLimits& tile) {
  return filter.base - tile.margin - filter.reach * tile.error - filter.noise * tile.norm;
}

// ---- the lists ----

/// The k-th smallest of the keys that a warp's lanes hold, at least k of them.
template <unsigned kCount>
__device__ unsigned kth_smallest(const unsigned (&keys)[kCount], unsigned k) {
  unsigned found = 0;  // the largest number that fewer than k keys are below, bit by bit from the top
#pragma unroll 1
  for (unsigned bit = 1u << 31; bit != 0; bit >>= 1) {
    const unsigned trial = found | bit;
    unsigned below = 0;
#pragma unroll
    for (unsigned n = 0; n < kCount; ++n) below += keys[n] < trial;
    if (__reduce_add_sync(kWholeWarp, below) < k) found = trial;
  }
  return found;
}

template <unsigned kCapacity>
struct List {
  Candidate* candidates;
  const RowTerms* point_terms;
  RowTerms query;
  unsigned columns;

  /// Drops what is farther than the k nearest must be; how many stay. `filter` is tightened where k are there. All
  /// lanes of a warp take part.
  __device__ unsigned tighten(unsigned count, unsigned k, RowFilter& filter) const {
    if (count < k) return count;
    unsigned keys[kCapacity / kWarpSize];  // upper distances are not negative: their bits order as they do
#pragma unroll
    for (unsigned n = 0; n < kCapacity / kWarpSize; ++n) {
      const auto [candidate, point, inside] = read(n, count);
      const float upper = upper_distance(query, point, candidate.score, score_noise(query, point, columns));
      keys[n] = __float_as_uint(upper) | (inside ? 0u : ~0u);  // no choice of `upper`, which would become a branch
    }
    const float distance = __uint_as_float(kth_smallest(keys, k));
    filter = filter_of(query, distance, columns);
    return drop_beyond(distance, count);
  }

 private:
  static constexpr unsigned kBatch = 8;  // candidates that a lane reads before it looks at one

  struct Listed {
    Candidate candidate;
    RowTerms point;
    bool inside;
  };

  /// A lane's n-th candidate. Past the end the last is read again: without a branch, many reads are under way at once.
  __device__ Listed read(unsigned n, unsigned count) const {
    const unsigned place = n * kWarpSize + threadIdx.x % kWarpSize;
    const Candidate candidate = candidates[min(place, count - 1)];
    return {candidate, point_terms[candidate.point], place < count};
  }

  __device__ unsigned drop_beyond(float distance, unsigned count) const {
    const unsigned lanes_before = (1u << threadIdx.x % kWarpSize) - 1;
    unsigned kept = 0;
#pragma unroll 1
    for (unsigned first = 0; first * kWarpSize < count; first += kBatch) {
      Listed listed[kBatch];
#pragma unroll
      for (unsigned n = 0; n < kBatch; ++n) listed[n] = read(first + n, count);
      __syncwarp();  // everybody has read, what is written next lies no further
#pragma unroll
      for (unsigned n = 0; n < kBatch; ++n) {
        const auto& [candidate, point, inside] = listed[n];
        const float lower = lower_distance(query, point, candidate.score, score_noise(query, point, columns));
        const unsigned staying = __ballot_sync(kWholeWarp, inside && lower <= distance);
        if (staying >> threadIdx.x % kWarpSize & 1)
          candidates[kept + static_cast<unsigned>(__popc(staying & lanes_before))] = candidate;
        kept += static_cast<unsigned>(__popc(staying));
      }
    }
    return kept;
  }
};

// ---- the pass ----

/// Slices of the points, and of the queries where these pass by too, on their way to shared memory.
template <unsigned kSlices, unsigned kStages>
class SliceCopies {
 public:
  using Shared = CandidatesShared<kSlices, kStages>;

  __device__ SliceCopies(const CandidatesArgs& args, Shared& shared, const unsigned char* queries, unsigned first_tile,
                         unsigned tiles)
      : points_(bytes_of(args.table.points.rounded)),
        terms_(reinterpret_cast<const unsigned char*>(args.table.tile_terms)),
        queries_(queries),
        points_slot_(shared_address(&shared.points)),
        queries_slot_(shared_address(&shared.queries)),
        terms_slot_(shared_address(&shared.terms)),
        slices_(kSlices == 0 ? args.slices : kSlices),
        tile_(first_tile),
        tiles_(tiles),
        left_(tiles * slices_) {}

  static __device__ const unsigned char* bytes_of(const std::uint16_t* rows) {
    return reinterpret_cast<const unsigned char*>(rows);
  }

  /// Begins to copy a slice, the same for all threads.
  static __device__ void copy_slice(SharedAddress to, const unsigned char* from) {
#pragma unroll
    for (unsigned n = 0; n < kSliceBytes / kPieceBytes / kThreads; ++n) {
      const unsigned at = (n * kThreads + threadIdx.x) * kPieceBytes;
      cp_async_16(to + at, from + at);
    }
  }

  /// Begins to copy the next slice, and a tile's terms with its first, and closes the group.
  __device__ void copy_next() {
    if (left_ > 0) {
      copy_slice(points_slot_ + slot_ * kSliceBytes, points_ + (std::size_t{tile_} * slices_ + slice_) * kSliceBytes);
      if (kSlices == 0) copy_slice(queries_slot_ + slot_ * kSliceBytes, queries_ + std::size_t{slice_} * kSliceBytes);
      if (slice_ == 0 && threadIdx.x < sizeof(TileTerms) / kPieceBytes)
        cp_async_16(terms_slot_ + terms_ring_ * static_cast<unsigned>(sizeof(TileTerms)) + threadIdx.x * kPieceBytes,
                    terms_ + tile_ * sizeof(TileTerms) + threadIdx.x * kPieceBytes);
      advance();
    }
    cp_async_commit();
  }

 private:
  __device__ void advance() {
    --left_;
    slot_ = slot_ + 1 == kStages ? 0 : slot_ + 1;
    if (++slice_ < slices_) return;
    slice_ = 0;
    tile_ = tile_ + 1 == tiles_ ? 0 : tile_ + 1;
    terms_ring_ = terms_ring_ + 1 == kStages ? 0 : terms_ring_ + 1;
  }

  const unsigned char *points_, *terms_, *queries_;
  SharedAddress points_slot_, queries_slot_, terms_slot_;
  unsigned slices_, tile_, tiles_, left_, slice_ = 0, slot_ = 0, terms_ring_ = 0;
};

template <unsigned kSlices, unsigned kStages, unsigned kCapacity>
class CandidatesBlock {
 public:
  using Shared = CandidatesShared<kSlices, kStages>;
  using Copies = SliceCopies<kSlices, kStages>;

  __device__ CandidatesBlock(const CandidatesArgs& args, Shared& shared)
      : args_(args), shared_(shared), slices_(kSlices == 0 ? args.slices : kSlices) {
    const unsigned warp = threadIdx.x / kWarpSize, lane = threadIdx.x % kWarpSize;
    const unsigned query = warp / kWarpsAcross * kWarpRows + lane % 16;
    const unsigned point = warp % kWarpsAcross * kWarpColumns + lane / 16 * 8 + lane % 8;
    query_offset_ = place_in_slice(query, lane / 16 * 8) * 2;
    point_offset_ = place_in_slice(point, lane / 8 % 2 * 8) * 2;
  }

  __device__ void run() {
    const auto tiles = static_cast<unsigned>((args_.points + kTileRows - 1) / kTileRows);
    // A query that is a point begins with its own tile, since neighbours in memory are often near.
    const unsigned own_tile = static_cast<unsigned>(args_.first_query / kTileRows) + blockIdx.x;
    unsigned tile = args_.self ? own_tile : 0;
    const unsigned char* queries = Copies::bytes_of(args_.table.queries.rounded) +
                                   std::size_t{args_.self ? own_tile : blockIdx.x} * slices_ * kSliceBytes;
    Copies copies(args_, shared_, queries, tile, tiles);
    begin(queries, copies);
    const SharedAddress points = shared_address(&shared_.points), rows = shared_address(&shared_.queries);
    unsigned slot = 0, terms_slot = 0;
#pragma unroll 1
    for (unsigned n = 0; n < tiles; ++n) {
      next_slice(copies);
      if (shared_.crowded[(n + 1) % 2] != 0) thin_out((n + 1) % 2);
      Sums sums{};
      multiply(rows + (kSlices == 0 ? slot : 0) * kSliceBytes, points + slot * kSliceBytes, sums);
      slot = slot + 1 == kStages ? 0 : slot + 1;
#pragma unroll 1
      for (unsigned slice = 1; slice < slices_; ++slice) {
        next_slice(copies);
        multiply(rows + (kSlices == 0 ? slot : slice) * kSliceBytes, points + slot * kSliceBytes, sums);
        slot = slot + 1 == kStages ? 0 : slot + 1;
      }
      filter(sums, shared_.terms[terms_slot], tile, n % 2);
      tile = tile + 1 == tiles ? 0 : tile + 1;
      terms_slot = terms_slot + 1 == kStages ? 0 : terms_slot + 1;
    }
    cp_async_wait<0>();
    __syncthreads();
    finish();
  }

 private:
  static constexpr unsigned kRoom = kCapacity - kTileRows;  // a list with more may not hold another tile

  __device__ std::size_t query_in_chunk(unsigned row) const { return std::size_t{blockIdx.x} * kTileRows + row; }
  __device__ const RowTerms& query_terms(unsigned row) const {
    return args_.table.queries.terms[(args_.self ? args_.first_query : 0) + query_in_chunk(row)];
  }

  __device__ void begin(const unsigned char* queries, Copies& copies) {
    const unsigned row = threadIdx.x;
    const bool inside = query_in_chunk(row) < args_.queries;
    const RowTerms terms = inside ? query_terms(row) : RowTerms{};
    const bool placed = inside && terms.error != INFINITY;
    shared_.filters[row] = {placed ? -INFINITY : INFINITY, 0, 0, 0};
    shared_.counts[row] = inside && !placed ? kTooMany : 0;
    if (row < 2) shared_.crowded[row] = 0;
    if constexpr (kSlices > 0) {
#pragma unroll 1
      for (unsigned slice = 0; slice < kSlices; ++slice)
        Copies::copy_slice(shared_address(&shared_.queries[slice]), queries + std::size_t{slice} * kSliceBytes);
    }
#pragma unroll
    for (unsigned n = 0; n + 1 < kStages; ++n) copies.copy_next();
  }

  // The slice that comes next is here, and everybody has left the one before the last.
  __device__ void next_slice(Copies& copies) {
    cp_async_wait<kStages - 2>();
    __syncthreads();
    copies.copy_next();
  }

  // Pieces change places by an exclusive or, so a step's two pieces further on are another one.
  static __device__ unsigned at_step(unsigned offset, unsigned step) { return offset ^ step * 2 * kPieceBytes; }

  __device__ void multiply(SharedAddress rows, SharedAddress points, Sums& sums) const {
#pragma unroll
    for (unsigned step = 0; step < kSteps; ++step) {
      std::uint32_t x[kDown][4];
#pragma unroll
      for (unsigned i = 0; i < kDown; ++i) ldmatrix_x4(x[i], rows + at_step(query_offset_, step) + i * 16 * kRowBytes);
#pragma unroll
      for (unsigned j = 0; j < kPairs; ++j) {
        std::uint32_t p[4];
        ldmatrix_x4(p, points + at_step(point_offset_, step) + j * 16 * kRowBytes);
#pragma unroll
        for (unsigned i = 0; i < kDown; ++i) {
          mma_m16n8k16_bf16(sums.values[i][2 * j], x[i], p[0], p[1]);
          mma_m16n8k16_bf16(sums.values[i][2 * j + 1], x[i], p[2], p[3]);
        }
      }
    }
  }

  // Of the two rows and columns of a fragment that a thread has, the first.
  static __device__ unsigned row_of(unsigned i) {
    return threadIdx.x / kWarpSize / kWarpsAcross * kWarpRows + i * 16 + threadIdx.x % kWarpSize / 4;
  }
  static __device__ unsigned column_of(unsigned j) {
    return threadIdx.x / kWarpSize % kWarpsAcross * kWarpColumns + j * 8 + threadIdx.x % 4 * 2;
  }

  __device__ void filter(Sums& sums, const TileTerms& terms, unsigned tile, unsigned parity) {
    const TileLimits limits{terms.error, terms.norm, terms.margin};
    float2 minus_half_squares[2 * kPairs];
#pragma unroll
    for (unsigned j = 0; j < 2 * kPairs; ++j)
      minus_half_squares[j] = *reinterpret_cast<const float2*>(terms.minus_half_squares + column_of(j));
#pragma unroll
    for (unsigned i = 0; i < kDown; ++i)
#pragma unroll
      for (unsigned half = 0; half < 2; ++half) {
        const unsigned row = row_of(i) + half * 8;
        const float threshold = threshold_of(shared_.filters[row], limits);
        float largest[2] = {-INFINITY, -INFINITY};
#pragma unroll
        for (unsigned j = 0; j < 2 * kPairs; ++j) {
          largest[0] = fmaxf(largest[0], sums.values[i][j][2 * half] += minus_half_squares[j].x);
          largest[1] = fmaxf(largest[1], sums.values[i][j][2 * half + 1] += minus_half_squares[j].y);
        }
        if (fmaxf(largest[0], largest[1]) >= threshold) {
          float scores[4 * kPairs];
#pragma unroll
          for (unsigned n = 0; n < 4 * kPairs; ++n) scores[n] = sums.values[i][n / 2][2 * half + n % 2];
          append_passing(row, tile * kTileRows + column_of(0), scores, threshold, parity);
        }
      }
  }

  // A loop over those that pass: code of its own for every score would be longer than the instruction cache.
  template <unsigned kScores>
  __device__ void append_passing(unsigned row, unsigned first_point, const float (&scores)[kScores], float threshold,
                                 unsigned parity) {
    unsigned passing = 0;
#pragma unroll
    for (unsigned n = 0; n < kScores; ++n) passing |= static_cast<unsigned>(scores[n] >= threshold) << n;
#pragma unroll 1
    for (; passing != 0; passing &= passing - 1) {
      const unsigned n = lowest_bit(passing);
      append(row, first_point + n / 2 * 8 + n % 2, pick(scores, n), parity);
    }
  }

  static __device__ unsigned lowest_bit(unsigned bits) {
    return static_cast<unsigned>(__ffs(static_cast<int>(bits))) - 1;
  }

  // values[n] of values in registers: choices by the bits of n.
  template <typename Number, unsigned kCount>
  static __device__ Number pick(const Number (&values)[kCount], unsigned n) {
    if constexpr (kCount == 1) {
      return values[0];
    } else {
      Number chosen[kCount / 2];
#pragma unroll
      for (unsigned j = 0; j < kCount / 2; ++j) chosen[j] = n % 2 == 0 ? values[2 * j] : values[2 * j + 1];
      return pick(chosen, n / 2);
    }
  }

  __device__ void append(unsigned row, unsigned point, float score, unsigned parity) {
    if (score == -INFINITY) return;
    if (args_.self && point == args_.first_query + query_in_chunk(row)) return;
    const int place = atomicAdd(&shared_.counts[row], 1);
    if (place >= static_cast<int>(kRoom)) atomicOr(&shared_.crowded[parity], 1);
    args_.candidates[query_in_chunk(row) * kCapacity + static_cast<unsigned>(place)] = {score, static_cast<int>(point)};
  }

  // Before a tile's filter, after the tile before: all of that one's candidates are there.
  __device__ void thin_out(unsigned parity) {
    tighten_rows(kRoom + 1);
    __syncthreads();
    if (threadIdx.x == 0) shared_.crowded[parity] = 0;  // nobody looks at it before the next barrier
  }

  // Every list of at least so many, one after the other to one warp after the other.
  __device__ void tighten_rows(unsigned least) {
    constexpr unsigned kWords = kTileRows / kWarpSize;
    const unsigned lane = threadIdx.x % kWarpSize;
    unsigned long_rows[kWords];
#pragma unroll
    for (unsigned word = 0; word < kWords; ++word) {
      const unsigned row = word * kWarpSize + lane;
      const bool is_long = shared_.counts[row] >= static_cast<int>(least) && query_in_chunk(row) < args_.queries;
      long_rows[word] = __ballot_sync(kWholeWarp, is_long);
    }
    __syncthreads();  // everybody has seen the same counts
    unsigned turn = threadIdx.x / kWarpSize;
#pragma unroll 1
    for (unsigned word = 0; word < kWords; ++word)
#pragma unroll 1
      for (unsigned rows = pick(long_rows, word); rows != 0; rows &= rows - 1, ++turn)
        if (turn % kWarps == 0) tighten_row(word * kWarpSize + lowest_bit(rows));
  }

  // A row that stays too long lets nothing pass any more.
  __device__ void tighten_row(unsigned row) {
    const List<kCapacity> list{args_.candidates + query_in_chunk(row) * kCapacity, args_.table.points.terms,
                               query_terms(row), slices_ * kSliceColumns};
    RowFilter filter = shared_.filters[row];
    const unsigned kept = list.tighten(static_cast<unsigned>(shared_.counts[row]), args_.neighbors, filter);
    __syncwarp();
    if (threadIdx.x % kWarpSize == 0) {
      const bool fits = kept <= kRoom;
      shared_.counts[row] = fits ? static_cast<int>(kept) : kTooMany;
      shared_.filters[row] = fits ? filter : RowFilter{INFINITY, 0, 0, 0};
    }
  }

  __device__ void finish() {
    tighten_rows(0);
    __syncthreads();
    const unsigned row = threadIdx.x;
    const std::size_t query = query_in_chunk(row);
    if (query >= args_.queries) return;
    args_.counts[query] = shared_.counts[row];
    if (shared_.counts[row] == kTooMany)
      args_.overflowing[atomicAdd(args_.overflows, 1u)] = static_cast<std::int32_t>(query);
  }

  const CandidatesArgs& args_;
  Shared& shared_;
  unsigned slices_;
  unsigned query_offset_, point_offset_;  // bytes from a slice's begin to a lane's rows, for the first step
};

template <unsigned kSlices, unsigned kStages, unsigned kCapacity>
__global__ void __launch_bounds__(kThreads, kSlices <= 4 ? 2 : 1) candidates_kernel(CandidatesArgs args) {
  CandidatesBlock<kSlices, kStages, kCapacity>(args, shared_memory<CandidatesShared<kSlices, kStages>>()).run();
}

struct VariantEntry {
  CandidatesVariant variant;
  void (*kernel)(CandidatesArgs);
};

template <unsigned kSlices, unsigned kStages, unsigned kCapacity>
constexpr VariantEntry entry_of() {
  return {{kSlices, kStages, kCapacity, sizeof(CandidatesShared<kSlices, kStages>)},
          candidates_kernel<kSlices, kStages, kCapacity>};
}

const VariantEntry kVariants[kMostCandidatesVariants] = {entry_of<1, 3, 512>(), entry_of<2, 2, 512>(),
                                                         entry_of<4, 2, 512>(), entry_of<6, 2, 512>(),
                                                         entry_of<0, 2, 512>(), entry_of<0, 2, 2048>()};

}  // namespace

const CandidatesVariant* candidates_variant(std::size_t number) {
  return number < kMostCandidatesVariants ? &kVariants[number].variant : nullptr;
}

void find_candidates(const CandidatesArgs& args, std::size_t variant, cudaStream_t stream) {
  const VariantEntry& entry = kVariants[variant];
  launch("neighbors_candidates", entry.kernel,
         {.blocks = static_cast<unsigned>((args.queries + kTileRows - 1) / kTileRows),
          .threads = kThreads,
          .shared_bytes = entry.variant.shared_bytes},
         stream, args);
}

}  // namespace lexiscope::cuda
