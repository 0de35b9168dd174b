// Exact nearest neighbours in two steps. The scan compares 16-bit codes: with codes standing for cx and cy,
// norm(x - cx) <= ex and norm(y - cy) <= ey, so norm(x - y) and norm(cx - cy) differ by at most ex + ey. If k points
// lie within c of x by their codes, the k nearest lie within c + ex + ey of it, and by their codes within c + 2 (ex +
// ey): all others are dropped. What is left, little more than k points, is measured in double, which alone decides;
// distances are compared after rounding to f32, and ties go to the lower index. A query sees its own neighbourhood in
// the table first, in chunks that grow, so that most points meet a tight threshold. Where too many points are left
// (thousands of duplicates) or the queries are few, all distances are measured in double.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/neighbors.cpp"
#include "kernels/cpu/neighbors.h"

#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>  // must precede highway.h
#include <hwy/highway.h>
#include <omp.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#ifndef LEXISCOPE_KERNELS_CPU_NEIGHBORS_ONCE
#define LEXISCOPE_KERNELS_CPU_NEIGHBORS_ONCE
namespace lexiscope::cpu {

// A distance and the point's index in one number: they order as (distance, index) does.
inline std::uint64_t make_key(float distance, std::int32_t point) {
  return std::uint64_t{std::bit_cast<std::uint32_t>(distance)} << 32 | static_cast<std::uint32_t>(point);
}
inline float key_distance(std::uint64_t key) { return std::bit_cast<float>(static_cast<std::uint32_t>(key >> 32)); }
inline std::int32_t key_point(std::uint64_t key) { return static_cast<std::int32_t>(key & 0xffffffffu); }

constexpr std::uint64_t kAnyKey = std::numeric_limits<std::uint64_t>::max();

// What a thread keeps of the queries at work, in the workspace.
struct BlockScratch {
  std::int32_t* words;       // [block_rows][pairs]: codes
  QueryCode* codes;          // [block_rows]
  std::int32_t* thresholds;  // [block_rows]: only scores above may belong to the k nearest
  std::size_t* counts;       // [block_rows]: points left so far
  std::size_t* full;         // [block_rows]: the count at which to tighten
  std::int32_t* scores;      // [block_rows][room]: theirs
  std::int32_t* points;      // [block_rows][room]: their indices
  double* turned;            // [d]
  std::uint64_t* keys;       // [capacity + k]: the exact distances of one query
};

constexpr std::size_t kMaxRowsAtOnce = 6;
constexpr std::size_t kMaxLanes = 16;
constexpr std::size_t kPrefetchAhead = 8;

// A row starts a chunk with less than its capacity; the chunk may append all that it holds, and a vector's store writes
// a few beyond.
inline std::size_t room(const NeighborsConfig& config) { return config.capacity + config.chunk_points + kMaxLanes; }

struct Search {
  const NeighborsArgs& args;
  const NeighborsConfig& config;
  const NeighborsTable& table;
  const BlockScratch& block;
  std::size_t first;  // the block's first query
  std::size_t rows;   // queries in the block

  bool self() const { return args.queries.empty(); }
  bool cosine() const { return args.metric == Metric::cosine; }
  std::size_t k() const { return args.indices.columns; }
  std::size_t wanted() const { return k() + (self() ? 1 : 0); }  // the scan finds the query itself too
  std::size_t d() const { return args.points.columns; }
  const float* query(std::size_t row) const { return (self() ? args.points : args.queries).row(first + row); }
  const float* point(std::int32_t index) const { return args.points.row(static_cast<std::size_t>(index)); }
  bool is_query(std::size_t row, std::int32_t index) const {
    return self() && static_cast<std::size_t>(index) == first + row;
  }
  std::int32_t* scores(std::size_t row) const { return block.scores + row * room(config); }
  std::int32_t* points(std::size_t row) const { return block.points + row * room(config); }
};

}  // namespace lexiscope::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace lexiscope::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using I32 = hn::ScalableTag<std::int32_t>;
using VI32 = hn::Vec<I32>;

// The scan's block of accumulators: rows of queries by vectors of points, as many as the registers hold.
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
constexpr std::size_t kRowsAtOnce = 6, kVectors = 4;
#elif HWY_TARGET == HWY_AVX2
constexpr std::size_t kRowsAtOnce = 4, kVectors = 2;
#else
constexpr std::size_t kRowsAtOnce = 2, kVectors = 2;
#endif
static_assert(kRowsAtOnce <= kMaxRowsAtOnce);

CodeFormat code_format() {
  const std::size_t lanes = hn::Lanes(I32());
  return {.lanes = lanes, .tile = lanes * kVectors};
}

// sum + the products of two signed 16-bit codes each of `points` and `query`, lane by lane.
HWY_INLINE VI32 add_products(VI32 sum, VI32 points, VI32 query) {
#if HWY_TARGET == HWY_AVX3_DL
  // Every processor that Highway finds fit for this target has the instruction, but Highway 1.0.3 does not let the
  // compiler know, so the intrinsic is out of reach.
  asm("vpdpwssd %2, %1, %0" : "+v"(sum.raw) : "v"(points.raw), "v"(query.raw));
  return sum;
#elif HWY_TARGET == HWY_AVX3
  return VI32{_mm512_add_epi32(sum.raw, _mm512_madd_epi16(points.raw, query.raw))};
#elif HWY_TARGET == HWY_AVX2
  return VI32{_mm256_add_epi32(sum.raw, _mm256_madd_epi16(points.raw, query.raw))};
#else
  const auto low_points = hn::ShiftRight<16>(hn::ShiftLeft<16>(points)), high_points = hn::ShiftRight<16>(points);
  const auto low_query = hn::ShiftRight<16>(hn::ShiftLeft<16>(query)), high_query = hn::ShiftRight<16>(query);
  return hn::Add(hn::Add(sum, hn::Mul(low_points, low_query)), hn::Mul(high_points, high_query));
#endif
}

// Appends the scores above the row's threshold, and their points, which start at `first`.
HWY_INLINE void append_above(const Search& search, std::size_t row, const VI32 (&scores)[kVectors], std::size_t first) {
  const I32 i32;
  const auto threshold = hn::Set(i32, search.block.thresholds[row]);
  auto any = hn::Gt(scores[0], threshold);
  HWY_UNROLL(4)
  for (std::size_t v = 1; v < kVectors; ++v) any = hn::Or(any, hn::Gt(scores[v], threshold));
  if (HWY_LIKELY(hn::AllFalse(i32, any))) return;
  std::size_t& count = search.block.counts[row];
  for (std::size_t v = 0; v < kVectors; ++v) {
    const auto above = hn::Gt(scores[v], threshold);
    const auto points = hn::Iota(i32, static_cast<std::int32_t>(first + v * hn::Lanes(i32)));
    hn::StoreU(hn::Compress(scores[v], above), i32, search.scores(row) + count);
    hn::StoreU(hn::Compress(points, above), i32, search.points(row) + count);
    count += hn::CountTrue(i32, above);
  }
}

// kRowsAtOnce queries from `row` on against the points first .. last - 1 (whole tiles).
void scan(const Search& search, std::size_t row, std::size_t first, std::size_t last) {
  const I32 i32;
  const std::size_t lanes = hn::Lanes(i32), pairs = search.table.pairs;
  const std::int32_t* query_words = search.block.words + row * pairs;
  for (std::size_t point = first; point < last; point += kVectors * lanes) {
    const std::int32_t* words = search.table.words + point * pairs;
    VI32 scores[kRowsAtOnce][kVectors];
    HWY_UNROLL(4)
    for (std::size_t v = 0; v < kVectors; ++v) {
      const auto start = hn::Load(i32, search.table.minus_half_squares + point + v * lanes);
      HWY_UNROLL(6)
      for (std::size_t r = 0; r < kRowsAtOnce; ++r) scores[r][v] = start;
    }
    for (std::size_t g = 0; g < pairs; ++g) {
      VI32 points[kVectors];
      HWY_UNROLL(4)
      for (std::size_t v = 0; v < kVectors; ++v) points[v] = hn::Load(i32, words + (v * pairs + g) * lanes);
      HWY_UNROLL(6)
      for (std::size_t r = 0; r < kRowsAtOnce; ++r) {
        const auto query = hn::Set(i32, query_words[r * pairs + g]);
        HWY_UNROLL(4)
        for (std::size_t v = 0; v < kVectors; ++v) scores[r][v] = add_products(scores[r][v], points[v], query);
      }
    }
    HWY_UNROLL(6)
    for (std::size_t r = 0; r < kRowsAtOnce; ++r) append_above(search, row + r, scores[r], point);
  }
}

// norm(x_scale x - y_scale y)^2 in double.
HWY_INLINE double squared_distance(const float* x, double x_scale, const float* y, double y_scale, std::size_t d) {
  const hn::ScalableTag<double> f64;
  const hn::Rebind<float, decltype(f64)> f32;
  const std::size_t lanes = hn::Lanes(f64), whole = d - d % lanes;
  const auto x_scales = hn::Set(f64, x_scale), y_scales = hn::Set(f64, y_scale);
  auto sum = hn::Zero(f64);
  const auto add = [&](auto x_part, auto y_part) HWY_ATTR {
    const auto moved = hn::Mul(hn::PromoteTo(f64, y_part), y_scales);
    const auto difference = hn::Sub(hn::Mul(hn::PromoteTo(f64, x_part), x_scales), moved);
    sum = hn::MulAdd(difference, difference, sum);
  };
  for (std::size_t a = 0; a < whole; a += lanes) add(hn::LoadU(f32, x + a), hn::LoadU(f32, y + a));
  if (whole < d) {
    const auto rest = hn::FirstN(f32, d - whole);
    add(hn::MaskedLoad(rest, f32, x + whole), hn::MaskedLoad(rest, f32, y + whole));
  }
  return hn::GetLane(hn::SumOfLanes(f64, sum));
}

// The distance that is reported. Half the squared distance of unit vectors is 1 - cos without its cancellation. Unit
// vectors err by at most (d + 4) 2^-53 in length and place, so what lies below that is 0: the same direction.
HWY_INLINE float cosine_distance(const Search& search, const float* query, double scale, std::int32_t point) {
  const double point_scale = search.table.inverse_norms[point];
  if (scale == 0 || point_scale == 0) return 1;
  const double squared = squared_distance(query, scale, search.point(point), point_scale, search.d());
  const double noise = static_cast<double>(search.d() + 4) * 0x1p-52;
  return squared <= noise * noise ? 0.0f : static_cast<float>(squared / 2);
}

HWY_INLINE std::uint64_t exact_key(const Search& search, const float* query, double scale, std::int32_t point) {
  if (search.cosine()) return make_key(cosine_distance(search, query, scale, point), point);
  const double squared = squared_distance(query, 1, search.point(point), 1, search.d());
  return make_key(static_cast<float>(std::sqrt(squared)), point);
}

// Whole vectors only: behind the `count` scores stand lower ones.
HWY_INLINE std::size_t count_at_least(const std::int32_t* scores, std::size_t count, std::int32_t least) {
  const I32 i32;
  const auto below = hn::Set(i32, least - 1);
  std::size_t found = 0;
  for (std::size_t n = 0; n < count; n += hn::Lanes(i32))
    found += hn::CountTrue(i32, hn::Gt(hn::LoadU(i32, scores + n), below));
  return found;
}

// A score that at least `wanted` of the row's points reach, and not many more.
std::int32_t score_reached(const Search& search, std::size_t row, std::size_t wanted) {
  const I32 i32;
  std::int32_t* scores = search.scores(row);
  const std::size_t count = search.block.counts[row], enough = wanted + wanted / 16;
  hn::StoreU(hn::Set(i32, std::numeric_limits<std::int32_t>::min()), i32, scores + count);
  auto best = hn::LoadU(i32, scores);
  for (std::size_t n = 0; n < count; n += hn::Lanes(i32)) best = hn::Max(best, hn::LoadU(i32, scores + n));
  std::int64_t missed = std::int64_t{hn::GetLane(hn::MaxOfLanes(i32, best))} + 1;
  std::int64_t reached = std::int64_t{search.block.thresholds[row]} + 1;
  while (missed - reached > 1) {
    const std::int64_t middle = reached + (missed - reached) / 2;
    const std::size_t found = count_at_least(scores, count, static_cast<std::int32_t>(middle));
    (found >= wanted ? reached : missed) = middle;
    if (found >= wanted && found <= enough) break;
  }
  return static_cast<std::int32_t>(reached);
}

// Keeps the row's points whose scores are above the threshold.
std::size_t drop_below(const Search& search, std::size_t row, std::int32_t threshold) {
  const I32 i32;
  std::int32_t *scores = search.scores(row), *points = search.points(row);
  const std::size_t count = search.block.counts[row], lanes = hn::Lanes(i32);
  hn::StoreU(hn::Set(i32, std::numeric_limits<std::int32_t>::min()), i32, scores + count);
  std::size_t left = 0;
  for (std::size_t n = 0; n < count; n += lanes) {
    const auto score = hn::LoadU(i32, scores + n);
    const auto point = hn::LoadU(i32, points + n);
    const auto above = hn::Gt(score, hn::Set(i32, threshold));
    hn::StoreU(hn::Compress(score, above), i32, scores + left);
    hn::StoreU(hn::Compress(point, above), i32, points + left);
    left += hn::CountTrue(i32, above);
  }
  return left;
}

// Raises the row's threshold to what its points prove, and drops those that are not above it. A score S stands for a
// squared distance of at most 2 step^2 (own_score - S + 1/2), see neighbors_table.cpp; the subtrahend 2 covers that
// half and the rounding of the threshold.
void tighten(const Search& search, std::size_t row) {
  if (search.block.thresholds[row] == kProposeNothing) return;
  const QueryCode& code = search.block.codes[row];
  const double reached = score_reached(search, row, search.wanted()), step = search.table.summary->step;
  const double apart = std::sqrt(2 * (code.own_score - reached + 0.5)) * step;
  const double reach = (apart + 2 * (code.error + search.table.summary->largest_error)) * (1 + 0x1p-40) / step;
  const double threshold = code.own_score - reach * reach / 2 - 2;
  const auto lowest =
      std::max(static_cast<std::int32_t>(std::max(threshold, double{kLowestThreshold})), search.block.thresholds[row]);
  const std::size_t left = drop_below(search, row, lowest);
  search.block.counts[row] = left;
  search.block.thresholds[row] = left > search.config.capacity ? kProposeNothing : lowest;
  search.block.full[row] = std::min(left + search.wanted() / 2, search.config.capacity);
}

// What the scan does to one query: encodes it, or leaves it out (padding, and zero vectors under the cosine).
void start_row(const Search& search, std::size_t row) {
  const BlockScratch& block = search.block;
  std::int32_t* words = block.words + row * search.table.pairs;
  block.counts[row] = 0;
  block.full[row] = search.wanted();
  block.thresholds[row] = kProposeNothing;
  std::fill_n(words, search.table.pairs, 0);
  if (row >= search.rows) return;
  const double scale = search.cosine() ? inverse_norm(search.query(row), search.d()) : search.table.summary->unit;
  if (scale == 0) return;
  block.thresholds[row] = kLowestThreshold;
  block.codes[row] =
      encode_query(search.config, search.table, search.query(row), search.d(), scale, block.turned, words);
}

// All rows of the block against all points. Rows are tightened when they first hold enough points, and when half as
// many have come since.
void scan_block(const Search& search) {
  for (std::size_t row = 0; row < search.config.block_rows; ++row) start_row(search, row);
  const std::size_t tile = search.config.format.tile, end = search.table.padded_points, wanted = search.wanted();
  const std::size_t smallest = std::min((wanted + tile) / tile * tile, search.config.chunk_points);
  std::size_t at = search.self() ? search.first / tile * tile : 0;
  for (std::size_t seen = 0; seen < end;) {
    const std::size_t chunk = std::clamp(seen / tile * tile, smallest, search.config.chunk_points);
    const std::size_t size = std::min({chunk, end - at, end - seen});
    seen += size;
    for (std::size_t first_row = 0; first_row < search.rows; first_row += kRowsAtOnce) {
      scan(search, first_row, at, at + size);
      for (std::size_t row = first_row; row < first_row + kRowsAtOnce; ++row)
        if (search.block.counts[row] >= (seen < end ? search.block.full[row] : wanted)) tighten(search, row);
    }
    at = at + size == end ? 0 : at + size;
  }
}

// The keys of the points that the scan left, and of the zero vectors, which it does not see.
std::size_t measure_left(const Search& search, std::size_t row, double scale) {
  const std::int32_t* points = search.points(row);
  const std::size_t left = search.block.counts[row];
  std::size_t count = 0;
  for (std::size_t n = 0; n < left; ++n) {
    if (n + kPrefetchAhead < left)
      for (std::size_t a = 0; a < std::min<std::size_t>(search.d(), 512); a += 16)
        hwy::Prefetch(search.point(points[n + kPrefetchAhead]) + a);
    if (!search.is_query(row, points[n]))
      search.block.keys[count++] = exact_key(search, search.query(row), scale, points[n]);
  }
  for (std::size_t n = 0; n < search.table.summary->zero_points; ++n)
    search.block.keys[count++] = make_key(1.0f, search.table.zero_indices[n]);
  return count;
}

// The keys of all points, of which the k smallest are kept.
std::size_t measure_all(const Search& search, std::size_t row, double scale) {
  std::uint64_t *keys = search.block.keys, worst = std::numeric_limits<std::uint64_t>::max();
  const std::size_t k = search.k();
  std::size_t count = 0;
  for (std::size_t n = 0; n < search.args.points.rows; ++n) {
    const auto point = static_cast<std::int32_t>(n);
    if (search.is_query(row, point)) continue;
    const std::uint64_t key = exact_key(search, search.query(row), scale, point);
    if (key >= worst) continue;
    keys[count++] = key;
    if (count < search.config.capacity + k) continue;
    std::nth_element(keys, keys + k - 1, keys + count);
    worst = keys[k - 1];
    count = k;
  }
  return count;
}

void finish_row(const Search& search, std::size_t row) {
  const double scale = search.cosine() ? inverse_norm(search.query(row), search.d()) : 1;
  const bool scanned = search.config.use_codes && search.block.thresholds[row] != kProposeNothing;
  const std::size_t count = scanned ? measure_left(search, row, scale) : measure_all(search, row, scale);
  const std::size_t k = search.k();
  std::uint64_t* keys = search.block.keys;
  if (count > k) std::nth_element(keys, keys + k - 1, keys + count);
  std::sort(keys, keys + k);
  for (std::size_t n = 0; n < k; ++n) {
    search.args.indices.row(search.first + row)[n] = key_point(keys[n]);
    search.args.distances.row(search.first + row)[n] = key_distance(keys[n]);
  }
}

void search_block(const Search& search) {
  if (search.config.use_codes) scan_block(search);
  for (std::size_t row = 0; row < search.rows; ++row) finish_row(search, row);
}

}  // namespace lexiscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lexiscope::cpu {
namespace {

HWY_EXPORT(code_format);
HWY_EXPORT(search_block);

BlockScratch cut_block(WorkspaceCutter& cutter, const NeighborsArgs& args, const NeighborsConfig& config,
                       std::size_t pairs) {
  const std::size_t rows = config.block_rows, d = args.points.columns;
  BlockScratch block{};
  const std::size_t scanned = config.use_codes ? rows : 0;
  block.words = cutter.cut<std::int32_t>(scanned * pairs);
  block.codes = cutter.cut<QueryCode>(scanned);
  block.thresholds = cutter.cut<std::int32_t>(scanned);
  block.counts = cutter.cut<std::size_t>(scanned);
  block.full = cutter.cut<std::size_t>(scanned);
  block.scores = cutter.cut<std::int32_t>(scanned * room(config));
  block.points = cutter.cut<std::int32_t>(scanned * room(config));
  block.turned = cutter.cut<double>(scanned > 0 ? d : 0);
  block.keys = cutter.cut<std::uint64_t>(config.capacity + args.indices.columns);
  return block;
}

}  // namespace

NeighborsConfig choose_neighbors_config(const NeighborsArgs& args, int threads) {
  const auto format = HWY_DYNAMIC_DISPATCH(code_format)();
  return choose_neighbors_config(format, args.points.rows, args.indices.rows, args.points.columns, args.indices.columns,
                                 threads);
}

std::size_t neighbors_workspace(const NeighborsArgs& args, const NeighborsConfig& config, int threads) {
  WorkspaceCutter cutter(nullptr);
  const NeighborsTable table = cut_neighbors_table(cutter, args, config, threads);
  for (int thread = 0; thread < threads; ++thread) cut_block(cutter, args, config, table.pairs);
  return cutter.used();
}

void prepare_neighbors(const NeighborsArgs& args, const NeighborsConfig& config, const Context& context) {
  WorkspaceCutter cutter(context.workspace.data());
  build_neighbors_table(args, config, cut_neighbors_table(cutter, args, config, context.threads), context.threads);
}

void neighbors(const NeighborsArgs& args, const NeighborsConfig& config, std::size_t first, std::size_t last,
               const Context& context) {
  const auto search = HWY_DYNAMIC_DISPATCH(search_block);
#pragma omp parallel num_threads(context.threads)
  {
    WorkspaceCutter cutter(context.workspace.data());
    const NeighborsTable table = cut_neighbors_table(cutter, args, config, context.threads);
    BlockScratch block{};
    for (int thread = 0; thread <= omp_get_thread_num(); ++thread) block = cut_block(cutter, args, config, table.pairs);
#pragma omp for schedule(dynamic, 1)
    for (std::size_t row = first; row < last; row += config.block_rows)
      search({args, config, table, block, row, std::min(config.block_rows, last - row)});
  }
}

}  // namespace lexiscope::cpu
#endif
