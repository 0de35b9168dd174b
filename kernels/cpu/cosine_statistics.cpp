// Cosine statistics in one pass over the rows. The mean cosine needs no pairs: the sum over all of them is the squared
// length of the sum of the unit rows. The partition functions are carried as a largest exponent and a sum beside it.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/cosine_statistics.cpp"
#include "kernels/cpu/cosine_statistics.h"

#include <hwy/foreach_target.h>  // must precede highway.h
#include <hwy/highway.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "hwy/contrib/math/math-inl.h"
#include "kernels/cpu/double_product-inl.h"

#ifndef LEXISCOPE_KERNELS_CPU_COSINE_STATISTICS_LAYOUT_
#define LEXISCOPE_KERNELS_CPU_COSINE_STATISTICS_LAYOUT_
namespace lexiscope::cpu {

constexpr std::size_t kBlockRows = 48;  // packed together; a multiple of every target's register tile

// log Z of many directions: Z = exp(largest) * sum.
struct Partitions {
  double *largest, *sum;
};

// What one slot of rows adds up. Directions are padded to whole slivers.
struct StatisticsSums {
  double* rows;               // [d]: of the rows
  double* unit_rows;          // [d]: of the rows that are not zero, each divided by its norm
  double* scalars;            // [2]: of the norms; the number of rows that are not zero
  Partitions along, against;  // Z(c) and Z(-c)
};

struct StatisticsScratch {
  double* packed;  // [kBlockRows * d]
  double* dots;    // [kBlockRows, kSliverMultiple]
};

// Where everything lies in the workspace.
struct StatisticsLayout {
  std::size_t d, padded;
  double *directions, *sums, *scratch;
  std::size_t bytes;

  std::size_t sums_size() const noexcept { return round_up(2 * d + 2 + 4 * padded, 8); }
  std::size_t scratch_size() const noexcept { return kBlockRows * (d + kSliverMultiple); }
  StatisticsSums slot(std::size_t index) const noexcept {
    double *at = sums + index * sums_size(), *partitions = at + 2 * d + 2;
    return {.rows = at,
            .unit_rows = at + d,
            .scalars = at + 2 * d,
            .along = {partitions, partitions + padded},
            .against = {partitions + 2 * padded, partitions + 3 * padded}};
  }
  StatisticsScratch thread(int index) const noexcept {
    double* at = scratch + static_cast<std::size_t>(index) * scratch_size();
    return {.packed = at, .dots = at + kBlockRows * d};
  }
};

inline StatisticsLayout statistics_layout(std::size_t n, std::size_t d, std::size_t m, int threads, std::byte* base) {
  WorkspaceCutter cutter(base);
  StatisticsLayout layout{.d = d, .padded = round_up(m, kSliverMultiple)};
  layout.directions = cutter.cut<double>(d * layout.padded);
  layout.sums = cutter.cut<double>(choose_cosine_statistics_config(n, d, m).slots * layout.sums_size());
  layout.scratch = cutter.cut<double>(static_cast<std::size_t>(threads) * layout.scratch_size());
  layout.bytes = cutter.used();
  return layout;
}

}  // namespace lexiscope::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace lexiscope::cpu::HWY_NAMESPACE {

double squared_norm(const float* x, std::size_t d) {
  const F64 f64;
  const F32Half f32;
  auto even = hn::Zero(f64), odd = hn::Zero(f64);
  std::size_t a = 0;
  for (; a + 2 * kLanes <= d; a += 2 * kLanes) {
    const auto left = hn::PromoteTo(f64, hn::LoadU(f32, x + a));
    const auto right = hn::PromoteTo(f64, hn::LoadU(f32, x + a + kLanes));
    even = hn::MulAdd(left, left, even);
    odd = hn::MulAdd(right, right, odd);
  }
  double sum = hn::GetLane(hn::SumOfLanes(f64, hn::Add(even, odd)));
  for (; a < d; ++a) sum += static_cast<double>(x[a]) * x[a];
  return sum;
}

// Adds one row to the sums and returns its norm.
double add_row(const float* HWY_RESTRICT x, std::size_t d, const StatisticsSums& sums) {
  const double norm = std::sqrt(squared_norm(x, d)), scale = norm > 0 ? 1 / norm : 0;
  double *HWY_RESTRICT rows = sums.rows, *HWY_RESTRICT unit_rows = sums.unit_rows;
  for (std::size_t a = 0; a < d; ++a) {
    rows[a] += x[a];
    unit_rows[a] += x[a] * scale;
  }
  sums.scalars[0] += norm;
  sums.scalars[1] += norm > 0 ? 1 : 0;
  return norm;
}

// Adds exp(sign * dots) over the rows of one vector of directions, taking out the largest exponent met so far.
template <bool kNegative>
HWY_INLINE void add_exponentials(const double* dots, std::size_t rows, double* largest_at, double* sum_at) {
  const F64 f64;
  const auto exponent = [&](std::size_t r) HWY_ATTR {
    const auto dot = hn::LoadU(f64, dots + r * kRightWidth);
    return kNegative ? hn::Neg(dot) : dot;
  };
  const auto before = hn::LoadU(f64, largest_at);
  auto largest = before;
  for (std::size_t r = 0; r < rows; ++r) largest = hn::Max(largest, exponent(r));
  auto sum = hn::Mul(hn::LoadU(f64, sum_at), hn::Exp(f64, hn::Sub(before, largest)));
  for (std::size_t r = 0; r < rows; ++r) sum = hn::Add(sum, hn::Exp(f64, hn::Sub(exponent(r), largest)));
  hn::StoreU(largest, f64, largest_at);
  hn::StoreU(sum, f64, sum_at);
}

// Adds a block of at most kBlockRows rows to both partition functions of all m directions.
void add_partitions(MatrixView<const float> rows, const double* directions, std::size_t m,
                    const StatisticsScratch& scratch, const StatisticsSums& sums) {
  const std::size_t d = rows.columns;
  pack_rows<kLeftWidth>(rows, nullptr, scratch.packed);
  for (std::size_t first = 0; first < m; first += kRightWidth) {
    std::fill_n(scratch.dots, kBlockRows * kRightWidth, 0.0);
    for (std::size_t r = 0; r < rows.rows; r += kLeftWidth)
      multiply_slivers(scratch.packed + r * d, directions + first * d, d, m - first, scratch.dots + r * kRightWidth,
                       kRightWidth);
    for (std::size_t j = 0; j < std::min(kRightWidth, m - first); j += kLanes) {
      const std::size_t at = first + j;
      add_exponentials<false>(scratch.dots + j, rows.rows, sums.along.largest + at, sums.along.sum + at);
      add_exponentials<true>(scratch.dots + j, rows.rows, sums.against.largest + at, sums.against.sum + at);
    }
  }
}

void add_slot_rows(const CosineStatisticsArgs& args, std::size_t first, std::size_t last, const double* directions,
                   const StatisticsScratch& scratch, const StatisticsSums& sums) {
  for (std::size_t i = first; i < last; ++i) {
    const double norm = add_row(args.x.row(i), args.x.columns, sums);
    if (!args.norms.empty()) args.norms[i] = static_cast<float>(norm);
  }
  if (args.directions.empty()) return;
  for (std::size_t i = first; i < last; i += kBlockRows)
    add_partitions(args.x.rows_from(i, std::min(kBlockRows, last - i)), directions, args.directions.rows, scratch,
                   sums);
}

void pack_directions(MatrixView<const double> directions, double* packed) {
  pack_rows<kRightWidth>(directions, nullptr, packed);
}

}  // namespace lexiscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lexiscope::cpu {

HWY_EXPORT(add_slot_rows);
HWY_EXPORT(pack_directions);

namespace {

constexpr double kChunkFlops = 8e9;     // a few tenths of a second
constexpr std::size_t kMostSlots = 64;  // enough to keep many threads busy to the end
constexpr std::size_t kLeastSlots = 8;  // even where that makes a chunk longer

StatisticsLayout layout_of(const CosineStatisticsArgs& args, const Context& context) {
  return statistics_layout(args.x.rows, args.x.columns, args.directions.rows, context.threads,
                           context.workspace.data());
}

std::size_t slots_of(const CosineStatisticsArgs& args) {
  return choose_cosine_statistics_config(args.x.rows, args.x.columns, args.directions.rows).slots;
}

// log Z of one direction, over all slots.
double log_partition(const StatisticsLayout& layout, std::size_t slots, Partitions StatisticsSums::*side,
                     std::size_t direction) {
  const auto of_slot = [&](std::size_t slot) { return layout.slot(slot).*side; };
  double largest = of_slot(0).largest[direction], sum = 0;
  for (std::size_t slot = 1; slot < slots; ++slot) largest = std::max(largest, of_slot(slot).largest[direction]);
  for (std::size_t slot = 0; slot < slots; ++slot)
    sum += of_slot(slot).sum[direction] * std::exp(of_slot(slot).largest[direction] - largest);
  return largest + std::log(sum);
}

double isotropy(const StatisticsLayout& layout, std::size_t slots, std::size_t m) {
  if (m == 0) return std::numeric_limits<double>::quiet_NaN();
  double least = std::numeric_limits<double>::infinity(), most = -least;
  for (std::size_t j = 0; j < m; ++j)
    for (const auto side : {&StatisticsSums::along, &StatisticsSums::against}) {
      const double log_z = log_partition(layout, slots, side, j);
      least = std::min(least, log_z);
      most = std::max(most, log_z);
    }
  return std::exp(least - most);
}

}  // namespace

CosineStatisticsConfig choose_cosine_statistics_config(std::size_t n, std::size_t d, std::size_t m) {
  const double row_flops = 2.0 * static_cast<double>(d) * static_cast<double>(m + kBlockRows);
  const auto blocks = static_cast<std::size_t>(kChunkFlops / row_flops) / kBlockRows;
  const std::size_t slots = std::clamp(blocks, kLeastSlots, kMostSlots);
  const std::size_t filled = (n + kBlockRows - 1) / kBlockRows;
  return {.chunk_rows = std::max(blocks, slots) * kBlockRows, .slots = std::min(slots, filled)};
}

std::size_t cosine_statistics_workspace(std::size_t n, std::size_t d, std::size_t m, int threads) {
  return statistics_layout(n, d, m, threads, nullptr).bytes;
}

void start_cosine_statistics(const CosineStatisticsArgs& args, const Context& context) {
  const StatisticsLayout layout = layout_of(args, context);
  HWY_DYNAMIC_DISPATCH(pack_directions)(args.directions, layout.directions);
  for (std::size_t slot = 0; slot < slots_of(args); ++slot) {
    const StatisticsSums sums = layout.slot(slot);
    std::fill_n(sums.rows, layout.sums_size(), 0.0);
    std::fill_n(sums.along.largest, layout.padded, std::numeric_limits<double>::lowest());
    std::fill_n(sums.against.largest, layout.padded, std::numeric_limits<double>::lowest());
  }
}

void add_to_cosine_statistics(const CosineStatisticsArgs& args, std::size_t first, std::size_t last,
                              const Context& context) {
  const auto add = HWY_DYNAMIC_DISPATCH(add_slot_rows);
  const StatisticsLayout layout = layout_of(args, context);
  const std::size_t slots = slots_of(args), rows = last - first, products = args.directions.rows + 8;
#pragma omp parallel for schedule(dynamic) num_threads(context.threads) if (worth_threads(rows, layout.d, products))
  for (std::size_t slot = 0; slot < slots; ++slot)
    add(args, first + rows * slot / slots, first + rows * (slot + 1) / slots, layout.directions,
        layout.thread(omp_get_thread_num()), layout.slot(slot));
}

CosineStatistics finish_cosine_statistics(const CosineStatisticsArgs& args, const Context& context) {
  const StatisticsLayout layout = layout_of(args, context);
  const std::size_t slots = slots_of(args);
  const auto n = static_cast<double>(args.x.rows);
  CosineStatistics statistics;
  double norms = 0, nonzero = 0, mean_squares = 0, unit_squares = 0;
  for (std::size_t slot = 0; slot < slots; ++slot) {
    norms += layout.slot(slot).scalars[0];
    nonzero += layout.slot(slot).scalars[1];
  }
  for (std::size_t a = 0; a < args.x.columns; ++a) {
    double sum = 0, unit_sum = 0;
    for (std::size_t slot = 0; slot < slots; ++slot) {
      sum += layout.slot(slot).rows[a];
      unit_sum += layout.slot(slot).unit_rows[a];
    }
    if (!args.mean.empty()) args.mean[a] = sum / n;
    mean_squares += sum / n * (sum / n);
    unit_squares += unit_sum * unit_sum;
  }
  statistics.mean_norm = norms / n;
  statistics.norm_of_mean = std::sqrt(mean_squares);
  statistics.mean_cosine = args.x.rows < 2 ? 0 : (unit_squares - nonzero) / (n * (n - 1));
  statistics.isotropy = isotropy(layout, slots, args.directions.rows);
  return statistics;
}

}  // namespace lexiscope::cpu
#endif
