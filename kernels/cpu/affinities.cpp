// Perplexity-calibrated affinities: a safeguarded Newton iteration a row, in double across the neighbours, then the sum
// of the matrix and its transpose by merging sorted rows.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/affinities.cpp"
#include "kernels/cpu/affinities.h"

#include <hwy/foreach_target.h>  // must precede highway.h
#include <hwy/highway.h>
#include <omp.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "hwy/contrib/math/math-inl.h"

#ifndef LEXISCOPE_KERNELS_CPU_AFFINITIES_ONCE
#define LEXISCOPE_KERNELS_CPU_AFFINITIES_ONCE
namespace lexiscope::cpu {

constexpr std::size_t kMaxDoubleLanes = 8;
constexpr double kEntropyTolerance = 1e-10;  // far below what the rounding of the values to f32 does to the entropy
constexpr double kFarAway = 1e300;           // padding: its weight is 0
constexpr int kMaxIterations = 200;

// One thread's row at work.
struct CalibrationScratch {
  double* excess;       // [k, padded]: squared distances less the smallest
  double* weights;      // [k, padded]
  std::uint64_t* keys;  // [k]: column and value, to sort by column
};

}  // namespace lexiscope::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace lexiscope::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// With w_j = exp(-beta e_j): the sums of w, e w and e^2 w.
struct WeightSums {
  double weights, first, second;
};

HWY_INLINE WeightSums weigh(const CalibrationScratch& scratch, std::size_t k, double beta) {
  const hn::ScalableTag<double> f64;
  const auto minus_beta = hn::Set(f64, -beta);
  auto sum = hn::Zero(f64), first = hn::Zero(f64), second = hn::Zero(f64);
  for (std::size_t n = 0; n < k; n += hn::Lanes(f64)) {
    const auto excess = hn::LoadU(f64, scratch.excess + n);
    const auto weight = hn::Exp(f64, hn::Mul(minus_beta, excess));
    const auto weighted = hn::Mul(excess, weight);
    hn::StoreU(weight, f64, scratch.weights + n);
    sum = hn::Add(sum, weight);
    first = hn::Add(first, weighted);
    second = hn::MulAdd(excess, weighted, second);
  }
  return {hn::GetLane(hn::SumOfLanes(f64, sum)), hn::GetLane(hn::SumOfLanes(f64, first)),
          hn::GetLane(hn::SumOfLanes(f64, second))};
}

// Finds the beta whose entropy is log(perplexity), leaves the weights in the scratch and returns their sum. The entropy
// falls from log(k) at beta = 0 to log(how many are nearest) and has the derivative -beta^2 var(e) by log(beta), so
// Newton's step in log(beta) is a factor; where it leaves what is left of the interval, or is not half the last step
// (it can swing between two sides of an inflection), the interval is halved instead.
double calibrate(const CalibrationScratch& scratch, std::size_t k, double perplexity) {
  double total = 0, least = std::numeric_limits<double>::infinity();
  for (std::size_t n = 0; n < k; ++n) {
    total += scratch.excess[n];
    if (scratch.excess[n] > 0) least = std::min(least, scratch.excess[n]);
  }
  const double wanted = std::log(perplexity);
  double wide = 0, narrow = 800 / least;  // exp(-800) is 0: only the nearest are left
  if (total == 0 || perplexity >= static_cast<double>(k)) {
    std::fill_n(scratch.weights, k, 1.0);
    return static_cast<double>(k);
  }
  const double nearest_only = weigh(scratch, k, narrow).weights;
  if (wanted <= std::log(nearest_only)) return nearest_only;

  double beta = std::min(static_cast<double>(k) / total, narrow / 2);
  double last_step = std::numeric_limits<double>::infinity();
  WeightSums sums{};
  for (int iteration = 0; iteration < kMaxIterations; ++iteration) {
    sums = weigh(scratch, k, beta);
    const double mean = sums.first / sums.weights, variance = sums.second / sums.weights - mean * mean;
    const double surplus = std::log(sums.weights) + beta * mean - wanted;
    if (std::abs(surplus) <= kEntropyTolerance) break;
    (surplus > 0 ? wide : narrow) = beta;
    const double step = surplus / (beta * beta * variance), newton = beta * std::exp(step);
    const double middle = wide > 0 ? std::sqrt(wide) * std::sqrt(narrow) : beta / 8;
    const bool closes_in = wide < newton && newton < narrow && std::abs(step) <= last_step / 2;
    last_step = closes_in ? std::abs(step) : std::abs(std::log(middle / beta));
    beta = closes_in ? newton : middle;
  }
  return sums.weights;
}

// p_.|i of row i, in ascending order of the neighbours' indices.
void calibrate_row(const AffinitiesArgs& args, const CalibrationScratch& scratch, std::size_t i, std::int32_t* columns,
                   float* values) {
  const std::size_t k = args.indices.columns;
  const float* distances = args.distances.row(i);
  const double nearest = *std::min_element(distances, distances + k);
  for (std::size_t n = 0; n < k; ++n) scratch.excess[n] = double(distances[n]) * distances[n] - nearest * nearest;
  std::fill_n(scratch.excess + k, kMaxDoubleLanes, kFarAway);
  const double sum = calibrate(scratch, k, args.perplexity);
  for (std::size_t n = 0; n < k; ++n) {
    const auto value = std::bit_cast<std::uint32_t>(static_cast<float>(scratch.weights[n] / sum));
    scratch.keys[n] = std::uint64_t{static_cast<std::uint32_t>(args.indices.row(i)[n])} << 32 | value;
  }
  std::sort(scratch.keys, scratch.keys + k);
  for (std::size_t n = 0; n < k; ++n) {
    columns[n] = static_cast<std::int32_t>(scratch.keys[n] >> 32);
    values[n] = std::bit_cast<float>(static_cast<std::uint32_t>(scratch.keys[n]));
  }
}

}  // namespace lexiscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lexiscope::cpu {
namespace {

HWY_EXPORT(calibrate_row);

constexpr std::size_t kMaxParts = 16;  // each part of the rows keeps a count a column

struct Layout {
  std::int32_t* columns;       // [N][k]: the neighbours of each point, ascending
  float* values;               // [N][k]: p_j|i
  std::int32_t* sources;       // [N k]: the points that have point j among their neighbours, ascending; j by j
  float* source_values;        // [N k]: p_j|i by j
  std::int64_t* source_ends;   // [N + 1]: where j's sources start and, one further, end
  std::int64_t* part_cursors;  // [parts][N]: where a part of the rows writes its next source of j
  std::byte* scratch;          // [threads] of CalibrationScratch's arrays
  std::size_t scratch_bytes;
  std::size_t parts;
};

CalibrationScratch cut_scratch(WorkspaceCutter& cutter, std::size_t k) {
  CalibrationScratch scratch{};
  scratch.excess = cutter.cut<double>(k + kMaxDoubleLanes);
  scratch.weights = cutter.cut<double>(k + kMaxDoubleLanes);
  scratch.keys = cutter.cut<std::uint64_t>(k);
  return scratch;
}

Layout cut_layout(WorkspaceCutter& cutter, const AffinitiesArgs& args, int threads) {
  const std::size_t N = args.indices.rows, k = args.indices.columns;
  Layout layout{};
  layout.parts = std::min<std::size_t>(static_cast<std::size_t>(threads), kMaxParts);
  layout.columns = cutter.cut<std::int32_t>(N * k);
  layout.values = cutter.cut<float>(N * k);
  layout.sources = cutter.cut<std::int32_t>(N * k);
  layout.source_values = cutter.cut<float>(N * k);
  layout.source_ends = cutter.cut<std::int64_t>(N + 1);
  layout.part_cursors = cutter.cut<std::int64_t>(layout.parts * N);
  WorkspaceCutter one(nullptr);
  cut_scratch(one, k);
  layout.scratch_bytes = one.used();
  layout.scratch = cutter.cut<std::byte>(layout.scratch_bytes * static_cast<std::size_t>(threads));
  return layout;
}

Layout layout_in(const AffinitiesArgs& args, const Context& context) {
  WorkspaceCutter cutter(context.workspace.data());
  return cut_layout(cutter, args, context.threads);
}

// Calls visit(column, p_j|i + p_i|j) for row i in ascending order of the columns. An index that a row names twice
// counts twice.
template <typename Visit>
void merge_row(const Layout& layout, std::size_t k, std::size_t i, const Visit& visit) {
  const std::int32_t* columns = layout.columns + i * k;
  const float* values = layout.values + i * k;
  std::size_t n = 0;
  auto m = static_cast<std::size_t>(layout.source_ends[i]);
  const auto end = static_cast<std::size_t>(layout.source_ends[i + 1]);
  while (n < k || m < end) {
    const std::int32_t column = std::min(n < k ? columns[n] : std::numeric_limits<std::int32_t>::max(),
                                         m < end ? layout.sources[m] : std::numeric_limits<std::int32_t>::max());
    double forth = 0, back = 0;
    for (; n < k && columns[n] == column; ++n) forth += values[n];
    for (; m < end && layout.sources[m] == column; ++m) back += layout.source_values[m];
    visit(column, forth + back);
  }
}

}  // namespace

std::size_t affinities_workspace(const AffinitiesArgs& args, int threads) {
  WorkspaceCutter cutter(nullptr);
  cut_layout(cutter, args, threads);
  return cutter.used();
}

void conditional_affinities(const AffinitiesArgs& args, std::size_t first, std::size_t last, const Context& context) {
  const Layout layout = layout_in(args, context);
  const std::size_t k = args.indices.columns;
  const auto calibrate_one = HWY_DYNAMIC_DISPATCH(calibrate_row);
#pragma omp parallel for schedule(dynamic, 64) num_threads(context.threads)
  for (std::size_t i = first; i < last; ++i) {
    WorkspaceCutter cutter(layout.scratch + static_cast<std::size_t>(omp_get_thread_num()) * layout.scratch_bytes);
    calibrate_one(args, cut_scratch(cutter, k), i, layout.columns + i * k, layout.values + i * k);
  }
}

// A counting sort by column. Each part of the rows counts for itself and then writes behind the parts before it, so the
// order is that of the rows whatever the number of parts.
void transpose_affinities(const AffinitiesArgs& args, const Context& context) {
  const Layout layout = layout_in(args, context);
  const std::size_t N = args.indices.rows, k = args.indices.columns, parts = layout.parts;
#pragma omp parallel for schedule(static, 1) num_threads(context.threads)
  for (std::size_t part = 0; part < parts; ++part) {
    std::int64_t* counts = layout.part_cursors + part * N;
    std::fill_n(counts, N, 0);
    for (std::size_t n = N * part / parts * k; n < N * (part + 1) / parts * k; ++n) ++counts[layout.columns[n]];
  }
  std::int64_t end = 0;
  for (std::size_t j = 0; j < N; ++j) {
    layout.source_ends[j] = end;
    for (std::size_t part = 0; part < parts; ++part) {
      const std::int64_t count = layout.part_cursors[part * N + j];
      layout.part_cursors[part * N + j] = end;
      end += count;
    }
  }
  layout.source_ends[N] = end;
#pragma omp parallel for schedule(static, 1) num_threads(context.threads)
  for (std::size_t part = 0; part < parts; ++part) {
    std::int64_t* cursors = layout.part_cursors + part * N;
    for (std::size_t i = N * part / parts; i < N * (part + 1) / parts; ++i)
      for (std::size_t n = i * k; n < (i + 1) * k; ++n) {
        const std::int64_t at = cursors[layout.columns[n]]++;
        layout.sources[at] = static_cast<std::int32_t>(i);
        layout.source_values[at] = layout.values[n];
      }
  }
}

void count_affinities(const AffinitiesArgs& args, std::int64_t* row_offsets, const Context& context) {
  const Layout layout = layout_in(args, context);
  const std::size_t N = args.indices.rows, k = args.indices.columns;
  row_offsets[0] = 0;
#pragma omp parallel for schedule(static) num_threads(context.threads)
  for (std::size_t i = 0; i < N; ++i) {
    std::int64_t count = 0;
    merge_row(layout, k, i, [&](std::int32_t, double) { ++count; });
    row_offsets[i + 1] = count;
  }
  for (std::size_t i = 0; i < N; ++i) row_offsets[i + 1] += row_offsets[i];
}

void fill_affinities(const AffinitiesArgs& args, const std::int64_t* row_offsets, std::int32_t* columns, float* values,
                     const Context& context) {
  const Layout layout = layout_in(args, context);
  const double share = 1 / (2 * static_cast<double>(args.indices.rows));
#pragma omp parallel for schedule(static) num_threads(context.threads)
  for (std::size_t i = 0; i < args.indices.rows; ++i) {
    auto at = static_cast<std::size_t>(row_offsets[i]);
    merge_row(layout, args.indices.columns, i, [&](std::int32_t column, double sum) {
      columns[at] = column;
      values[at++] = static_cast<float>(sum * share);
    });
  }
}

}  // namespace lexiscope::cpu
#endif
