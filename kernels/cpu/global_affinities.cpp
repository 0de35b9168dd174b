// One Gaussian over all pairs, computed afresh in each of three passes (sum, count, fill): the pairs need not fit in
// memory to be counted. Differences and their squares are in double, where an exponent of 100 keeps its last digits.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/global_affinities.cpp"
#include "kernels/cpu/global_affinities.h"

#include <hwy/foreach_target.h>  // must precede highway.h
#include <hwy/highway.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "hwy/contrib/math/math-inl.h"

#ifndef LEXISCOPE_KERNELS_CPU_GLOBAL_AFFINITIES_ONCE
#define LEXISCOPE_KERNELS_CPU_GLOBAL_AFFINITIES_ONCE
namespace lexiscope::cpu {

constexpr std::size_t kRows = 4;     // points i at once
constexpr std::size_t kStripe = 16;  // points j side by side in memory
constexpr std::size_t kMaxLanes = 8;
constexpr std::size_t kChunk = 512;  // points j between two looks at their exponents; a multiple of kStripe

struct GlobalPass {
  const GlobalAffinitiesArgs& args;
  const float* stripes;  // [N / kStripe][d][kStripe], zeros behind the last point
  double* exponents;     // [threads][kRows][kChunk]
  std::size_t padded_points;

  std::size_t N() const { return args.points.rows; }
  double scale() const { return -1 / (2 * double(args.sigma) * args.sigma); }
};

}  // namespace lexiscope::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace lexiscope::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// exponents[r][j - first_point] = scale * norm(x_(row + r) - x_j)^2, for a chunk of points.
void find_exponents(const GlobalPass& pass, std::size_t row, std::size_t first_point, double* exponents) {
  const hn::ScalableTag<double> f64;
  const hn::Rebind<float, decltype(f64)> f32;
  constexpr std::size_t kVectors = 2;
  const std::size_t lanes = hn::Lanes(f64), d = pass.args.points.columns, N = pass.N();
  const std::size_t last_point = std::min(first_point + kChunk, pass.padded_points);
  const float* x[kRows];
  for (std::size_t r = 0; r < kRows; ++r) x[r] = pass.args.points.row(std::min(row + r, N - 1));
  for (std::size_t point = first_point; point < last_point; point += kVectors * lanes) {
    const float* stripe = pass.stripes + point / kStripe * kStripe * d + point % kStripe;
    hn::Vec<decltype(f64)> sums[kRows][kVectors];
    HWY_UNROLL(4)
    for (std::size_t r = 0; r < kRows; ++r) sums[r][0] = sums[r][1] = hn::Zero(f64);
    for (std::size_t a = 0; a < d; ++a) {
      const auto y0 = hn::PromoteTo(f64, hn::LoadU(f32, stripe + a * kStripe));
      const auto y1 = hn::PromoteTo(f64, hn::LoadU(f32, stripe + a * kStripe + lanes));
      HWY_UNROLL(4)
      for (std::size_t r = 0; r < kRows; ++r) {
        const auto value = hn::Set(f64, x[r][a]);
        const auto difference0 = hn::Sub(value, y0), difference1 = hn::Sub(value, y1);
        sums[r][0] = hn::MulAdd(difference0, difference0, sums[r][0]);
        sums[r][1] = hn::MulAdd(difference1, difference1, sums[r][1]);
      }
    }
    const auto scale = hn::Set(f64, pass.scale());
    for (std::size_t r = 0; r < kRows; ++r)
      for (std::size_t v = 0; v < kVectors; ++v)
        hn::StoreU(hn::Mul(sums[r][v], scale), f64, exponents + r * kChunk + point - first_point + v * lanes);
  }
}

// Sum of exp over `count` exponents, where entry `self` (if below count) is left out.
double sum_of_exponentials(double* exponents, std::size_t count, std::size_t self) {
  const hn::ScalableTag<double> f64;
  constexpr double kNothing = -1e4;  // exp is 0
  if (self < count) exponents[self] = kNothing;
  std::fill(exponents + count, exponents + (count + kStripe - 1) / kStripe * kStripe, kNothing);
  auto sum = hn::Zero(f64);
  for (std::size_t n = 0; n < count; n += hn::Lanes(f64))
    sum = hn::Add(sum, hn::Exp(f64, hn::LoadU(f64, exponents + n)));
  return hn::GetLane(hn::SumOfLanes(f64, sum));
}

// values[n] = exp(exponents[n] - log_sum) for the pairs that stay, which lie packed at the front.
void write_shares(const double* exponents, std::size_t count, double log_sum, float* values) {
  const hn::ScalableTag<double> f64;
  const std::size_t lanes = hn::Lanes(f64);
  double shares[kMaxLanes];
  for (std::size_t n = 0; n < count; n += lanes) {
    hn::StoreU(hn::Exp(f64, hn::Sub(hn::LoadU(f64, exponents + n), hn::Set(f64, log_sum))), f64, shares);
    for (std::size_t lane = 0; lane < std::min(lanes, count - n); ++lane)
      values[n + lane] = static_cast<float>(shares[lane]);
  }
}

}  // namespace lexiscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lexiscope::cpu {
namespace {

HWY_EXPORT(find_exponents);
HWY_EXPORT(sum_of_exponentials);
HWY_EXPORT(write_shares);

struct Layout {
  float* stripes;
  double* exponents;
  std::size_t padded_points;
};

Layout cut_layout(WorkspaceCutter& cutter, const GlobalAffinitiesArgs& args, int threads) {
  Layout layout{};
  layout.padded_points = (args.points.rows + kStripe - 1) / kStripe * kStripe;
  layout.stripes = cutter.cut<float>(layout.padded_points * args.points.columns);
  layout.exponents = cutter.cut<double>(static_cast<std::size_t>(threads) * kRows * kChunk);
  return layout;
}

// A share of 2^-150 or less of the sum rounds to 0 in f32.
double least_exponent(double sum) { return std::log(sum) - 150 * std::numbers::ln2; }

// visit(i, first_point, exponents, count, total) for the rows first .. last - 1 and all chunks of points in order; each
// row has a total of its own, which starts at 0 and is the visitor's.
template <typename Total, typename Visit>
void for_each_chunk_of_rows(const GlobalAffinitiesArgs& args, std::size_t first, std::size_t last,
                            const Context& context, const Visit& visit) {
  WorkspaceCutter cutter(context.workspace.data());
  const Layout layout = cut_layout(cutter, args, context.threads);
  const GlobalPass pass{args, layout.stripes, layout.exponents, layout.padded_points};
  const auto find = HWY_DYNAMIC_DISPATCH(find_exponents);
  const std::size_t N = args.points.rows;
#pragma omp parallel for schedule(dynamic, 1) num_threads(context.threads)
  for (std::size_t row = first; row < last; row += kRows) {
    double* exponents = pass.exponents + static_cast<std::size_t>(omp_get_thread_num()) * kRows * kChunk;
    Total totals[kRows] = {};
    for (std::size_t point = 0; point < N; point += kChunk) {
      find(pass, row, point, exponents);
      for (std::size_t r = 0; r < std::min(kRows, last - row); ++r)
        visit(row + r, point, exponents + r * kChunk, std::min(kChunk, N - point), totals[r]);
    }
  }
}

}  // namespace

std::size_t global_affinities_workspace(const GlobalAffinitiesArgs& args, int threads) {
  WorkspaceCutter cutter(nullptr);
  cut_layout(cutter, args, threads);
  return cutter.used();
}

void prepare_global_affinities(const GlobalAffinitiesArgs& args, const Context& context) {
  WorkspaceCutter cutter(context.workspace.data());
  const Layout layout = cut_layout(cutter, args, context.threads);
  const std::size_t d = args.points.columns;
#pragma omp parallel for schedule(static) num_threads(context.threads)
  for (std::size_t stripe = 0; stripe < layout.padded_points / kStripe; ++stripe)
    for (std::size_t n = 0; n < kStripe; ++n) {
      const std::size_t point = stripe * kStripe + n;
      for (std::size_t a = 0; a < d; ++a)
        layout.stripes[(stripe * d + a) * kStripe + n] = point < args.points.rows ? args.points.row(point)[a] : 0;
    }
}

void sum_global_affinities(const GlobalAffinitiesArgs& args, double* row_sums, std::size_t first, std::size_t last,
                           const Context& context) {
  const auto sum = HWY_DYNAMIC_DISPATCH(sum_of_exponentials);
  for_each_chunk_of_rows<double>(
      args, first, last, context,
      [&](std::size_t i, std::size_t point, double* exponents, std::size_t count, double& total) {
        row_sums[i] = total += sum(exponents, count, i - point);  // beyond count where i is in another chunk
      });
}

void count_global_affinities(const GlobalAffinitiesArgs& args, double sum, std::int64_t* counts, std::size_t first,
                             std::size_t last, const Context& context) {
  const double least = least_exponent(sum);
  for_each_chunk_of_rows<std::int64_t>(
      args, first, last, context,
      [&](std::size_t i, std::size_t point, const double* exponents, std::size_t count, std::int64_t& total) {
        for (std::size_t n = 0; n < count; ++n) total += exponents[n] > least && point + n != i;
        counts[i] = total;
      });
}

void fill_global_affinities(const GlobalAffinitiesArgs& args, double sum, const std::int64_t* row_offsets,
                            std::int32_t* columns, float* values, std::size_t first, std::size_t last,
                            const Context& context) {
  const double least = least_exponent(sum), log_sum = std::log(sum);
  const auto write = HWY_DYNAMIC_DISPATCH(write_shares);
  for_each_chunk_of_rows<std::size_t>(
      args, first, last, context,
      [&](std::size_t i, std::size_t point, double* exponents, std::size_t count, std::size_t& total) {
        const std::size_t at = static_cast<std::size_t>(row_offsets[i]) + total;
        std::size_t kept = 0;
        for (std::size_t n = 0; n < count; ++n)
          if (exponents[n] > least && point + n != i) {
            columns[at + kept] = static_cast<std::int32_t>(point + n);
            exponents[kept++] = exponents[n];
          }
        write(exponents, kept, log_sum, values + at);
        total += kept;
      });
}

}  // namespace lexiscope::cpu
#endif
