// A warp calibrates a row in double, by the cpu engine's safeguarded Newton steps. Each neighbour gives two pairs, the
// entry (i, j) of the matrix of p_j|i and the entry (j, i) of its transpose; sorted by row and column, entries of one
// place lie together, and a warp a row adds them up.
#include <bit>
#include <cmath>

#include "kernels/cuda/affinities.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/row_offsets.h"
#include "kernels/cuda/warp.h"
#include "kernels/cuda/workspace_cutter.h"

namespace lexiscope::cuda {
namespace {

constexpr unsigned kThreads = 256, kWarps = kThreads / kWarpSize;
constexpr double kEntropyTolerance = 1e-10;  // far below what the rounding of the values to f32 does to the entropy
constexpr int kMaxIterations = 200;

struct Layout {
  AffinitiesSummary* summary;
  PairBuffers pairs;        // [2 N k]: first of the matrix, then of its transpose
  std::size_t* row_begins;  // [N + 1] among the sorted pairs
  std::byte* sort_workspace;
  std::size_t sort_bytes;
};

std::size_t pairs_of(const AffinitiesArgs& args) { return 2 * args.indices.rows * args.indices.columns; }

// Of rows in the upper half of a key and columns in the lower.
int key_bits_of(const AffinitiesArgs& args) { return 32 + static_cast<int>(std::bit_width(args.indices.rows - 1)); }

Layout cut_layout(WorkspaceCutter& cutter, const AffinitiesArgs& args) {
  Layout layout{};
  layout.summary = cutter.cut<AffinitiesSummary>(1);
  for (int buffer = 0; buffer < 2; ++buffer) {
    layout.pairs.keys[buffer] = cutter.cut<std::uint64_t>(pairs_of(args));
    layout.pairs.values[buffer] = cutter.cut<float>(pairs_of(args));
  }
  layout.row_begins = cutter.cut<std::size_t>(args.indices.rows + 1);
  layout.sort_bytes = sort_pairs_workspace(pairs_of(args), key_bits_of(args));
  layout.sort_workspace = cutter.cut<std::byte>(layout.sort_bytes);
  return layout;
}

Layout layout_in(void* workspace, const AffinitiesArgs& args) {
  WorkspaceCutter cutter(workspace);
  return cut_layout(cutter, args);
}

__device__ std::size_t row_of_warp() { return std::size_t{blockIdx.x} * kWarps + threadIdx.x / kWarpSize; }

LaunchShape warp_a_row(std::size_t rows) {
  return {.blocks = static_cast<unsigned>((rows + kWarps - 1) / kWarps), .threads = kThreads};
}

// ---- calibration ----

// A row's squared distances, less the smallest, which a warp reads again in each pass. All lanes take part.
struct Excesses {
  const float* distances;
  std::size_t k;
  double nearest;

  __device__ double at(std::size_t n) const {
    return static_cast<double>(distances[n]) * static_cast<double>(distances[n]) - nearest * nearest;
  }
  template <typename Visit>
  __device__ void for_each(const Visit& visit) const {
    for (std::size_t n = threadIdx.x % kWarpSize; n < k; n += kWarpSize) visit(n, at(n));
  }
};

__device__ double warp_least(double value) {
#pragma unroll
  for (unsigned lanes = kWarpSize / 2; lanes > 0; lanes /= 2)
    value = fmin(value, __shfl_xor_sync(kWholeWarp, value, lanes));
  return value;
}

// With w_j = exp(-beta e_j): the sums of w, e w and e^2 w.
struct WeightSums {
  double weights, first, second;
};

__device__ WeightSums weigh(const Excesses& excesses, double beta) {
  WeightSums sums{};
  excesses.for_each([&](std::size_t, double excess) {
    const double weight = exp(-beta * excess), weighted = excess * weight;
    sums.weights += weight;
    sums.first += weighted;
    sums.second = fma(excess, weighted, sums.second);
  });
  return {warp_sum(sums.weights), warp_sum(sums.first), warp_sum(sums.second)};
}

struct Calibration {
  double beta, weights;  // the sum of exp(-beta e)
};

// The beta whose entropy is log(perplexity). The entropy falls from log(k) at beta = 0 to log(how many are nearest) and
// has the derivative -beta^2 var(e) by log(beta), so Newton's step in log(beta) is a factor; where it leaves what is
// left of the interval, or is not half the last step (it can swing between two sides of an inflection), the interval is
// halved instead.
__device__ Calibration calibrate(const Excesses& excesses, double perplexity) {
  const auto k = static_cast<double>(excesses.k);
  double total = 0, least = HUGE_VAL;
  excesses.for_each([&](std::size_t, double excess) {
    total += excess;
    if (excess > 0) least = fmin(least, excess);
  });
  total = warp_sum(total);
  least = warp_least(least);
  if (total == 0 || perplexity >= k) return {0, k};
  const double wanted = log(perplexity);
  double wide = 0, narrow = 800 / least;  // exp(-800) is 0: only the nearest are left
  const double nearest_only = weigh(excesses, narrow).weights;
  if (wanted <= log(nearest_only)) return {narrow, nearest_only};

  Calibration found{fmin(k / total, narrow / 2), 0};
  double last_step = HUGE_VAL;
  for (int iteration = 0; iteration < kMaxIterations; ++iteration) {
    const double beta = found.beta;
    const WeightSums sums = weigh(excesses, beta);
    found.weights = sums.weights;
    const double mean = sums.first / sums.weights, variance = sums.second / sums.weights - mean * mean;
    const double surplus = log(sums.weights) + beta * mean - wanted;
    if (fabs(surplus) <= kEntropyTolerance || iteration + 1 == kMaxIterations) break;
    (surplus > 0 ? wide : narrow) = beta;
    const double step = surplus / (beta * beta * variance), newton = beta * exp(step);
    const double middle = wide > 0 ? sqrt(wide) * sqrt(narrow) : beta / 8;
    const bool closes_in = wide < newton && newton < narrow && fabs(step) <= last_step / 2;
    last_step = closes_in ? fabs(step) : fabs(log(middle / beta));
    found.beta = closes_in ? newton : middle;
  }
  return found;
}

__device__ std::uint64_t key_of(std::uint64_t row, std::uint64_t column) { return row << 32 | column; }

// Writes the row's pairs. Those of the transpose have the sign bit, by which what meets in one place is told apart.
__global__ void __launch_bounds__(kThreads)
    calibrate_kernel(AffinitiesArgs args, std::uint64_t* keys, float* values, AffinitiesSummary* summary) {
  const std::size_t i = row_of_warp(), N = args.indices.rows, k = args.indices.columns;
  if (i >= N) return;
  const float* distances = args.distances.row(i);
  double nearest = HUGE_VAL;
  for (std::size_t n = threadIdx.x % kWarpSize; n < k; n += kWarpSize)
    nearest = fmin(nearest, static_cast<double>(distances[n]));
  const Excesses excesses{distances, k, warp_least(nearest)};
  const Calibration found = calibrate(excesses, args.perplexity);
  excesses.for_each([&](std::size_t n, double excess) {
    const float value = static_cast<float>(exp(-found.beta * excess) / found.weights);
    const std::int32_t index = args.indices.row(i)[n];
    const bool right = index >= 0 && static_cast<std::size_t>(index) < N && static_cast<std::size_t>(index) != i &&
                       distances[n] >= 0 && distances[n] < HUGE_VALF;
    const std::size_t at = i * k + n;
    if (!right)
      atomicMin(reinterpret_cast<unsigned long long*>(&summary->first_wrong), static_cast<unsigned long long>(at));
    const std::size_t j = right ? static_cast<std::size_t>(index) : i;
    keys[at] = key_of(i, j);
    values[at] = value;
    keys[N * k + at] = key_of(j, i);
    values[N * k + at] = -value;
  });
}

// ---- the sum of the matrix and its transpose ----

__global__ void __launch_bounds__(kThreads) start_kernel(AffinitiesSummary* summary) {
  if (threadIdx.x == 0) *summary = {0, kNoneWrong};
}

// Every row has pairs: its own neighbours.
__global__ void __launch_bounds__(kThreads)
    row_begins_kernel(const std::uint64_t* keys, std::size_t pairs, std::size_t rows, std::size_t* row_begins) {
  const std::size_t at = std::size_t{blockIdx.x} * kThreads + threadIdx.x;
  if (at >= pairs) return;
  const std::size_t row = keys[at] >> 32;
  if (at == 0 || keys[at - 1] >> 32 != row) row_begins[row] = at;
  if (at == 0) row_begins[rows] = pairs;
}

struct SparseRows {
  const std::uint64_t* keys;
  const float* pair_values;
  const std::size_t* row_begins;

  /// visit(at, place) for the first pair of each column of a row, places counted from 0; how many there are. All lanes
  /// of a warp take part.
  template <typename Visit>
  __device__ std::size_t for_each_entry(std::size_t row, const Visit& visit) const {
    const std::size_t begin = row_begins[row], end = row_begins[row + 1];
    const unsigned lane = threadIdx.x % kWarpSize;
    std::size_t entries = 0;
    for (std::size_t first = begin; first < end; first += kWarpSize) {
      const std::size_t at = first + lane;
      const bool begins = at < end && (at == begin || keys[at - 1] != keys[at]);
      const unsigned beginning = __ballot_sync(kWholeWarp, begins);
      if (begins) visit(at, entries + static_cast<unsigned>(__popc(beginning & ((1u << lane) - 1))));
      entries += static_cast<unsigned>(__popc(beginning));
    }
    return entries;
  }

  // An index that a row names twice counts twice. Forth and back are added up apart, so that the entries (i, j) and
  // (j, i) have the same bits.
  __device__ double sum_at(std::size_t at, std::size_t end) const {
    double forth = 0, back = 0;
    for (std::size_t other = at; other < end && keys[other] == keys[at]; ++other) {
      const float value = pair_values[other];
      (signbit(value) ? back : forth) += static_cast<double>(fabsf(value));
    }
    return forth + back;
  }
};

__global__ void __launch_bounds__(kThreads)
    count_entries_kernel(SparseRows matrix, std::size_t rows, std::int64_t* row_offsets) {
  const std::size_t row = row_of_warp();
  if (row >= rows) return;
  const std::size_t entries = matrix.for_each_entry(row, [](std::size_t, std::size_t) {});
  if (threadIdx.x % kWarpSize == 0) row_offsets[row + 1] = static_cast<std::int64_t>(entries);
}

__global__ void __launch_bounds__(kThreads)
    fill_kernel(SparseRows matrix, std::size_t rows, const std::int64_t* row_offsets, std::int32_t* columns,
                float* values) {
  const std::size_t row = row_of_warp();
  if (row >= rows) return;
  const auto offset = static_cast<std::size_t>(row_offsets[row]);
  const double share = 1 / (2 * static_cast<double>(rows));
  matrix.for_each_entry(row, [&](std::size_t at, std::size_t place) {
    columns[offset + place] = static_cast<std::int32_t>(matrix.keys[at] & 0xffffffffu);
    values[offset + place] = static_cast<float>(matrix.sum_at(at, matrix.row_begins[row + 1]) * share);
  });
}

}  // namespace

std::size_t affinities_workspace(const AffinitiesArgs& args) {
  WorkspaceCutter cutter(nullptr);
  cut_layout(cutter, args);
  return cutter.used();
}

const AffinitiesSummary* affinities_summary(const AffinitiesArgs& args, void* workspace) {
  return layout_in(workspace, args).summary;
}

SortedPairs begin_affinities(const AffinitiesArgs& args, std::int64_t* row_offsets, void* workspace,
                             cudaStream_t stream) {
  const Layout layout = layout_in(workspace, args);
  const std::size_t N = args.indices.rows, count = pairs_of(args);
  launch("affinities_start", start_kernel, {.blocks = 1, .threads = kThreads}, stream, layout.summary);
  launch("affinities_calibrate", calibrate_kernel, warp_a_row(N), stream, args, layout.pairs.keys[0],
         layout.pairs.values[0], layout.summary);
  const SortedPairs pairs =
      sort_pairs(layout.pairs, count, key_bits_of(args), layout.sort_workspace, layout.sort_bytes, stream);
  launch("affinities_row_begins", row_begins_kernel,
         {.blocks = static_cast<unsigned>((count + kThreads - 1) / kThreads), .threads = kThreads}, stream, pairs.keys,
         count, N, layout.row_begins);
  launch("affinities_count", count_entries_kernel, warp_a_row(N), stream,
         SparseRows{pairs.keys, pairs.values, layout.row_begins}, N, row_offsets);
  scan_row_offsets(row_offsets, N, &layout.summary->entries, stream);
  return pairs;
}

void fill_affinities(const AffinitiesArgs& args, const SortedPairs& pairs, const std::int64_t* row_offsets,
                     std::int32_t* columns, float* values, void* workspace, cudaStream_t stream) {
  const SparseRows matrix{pairs.keys, pairs.values, layout_in(workspace, args).row_begins};
  launch("affinities_fill", fill_kernel, warp_a_row(args.indices.rows), stream, matrix, args.indices.rows, row_offsets,
         columns, values);
}

}  // namespace lexiscope::cuda
