// The normalisation over all pairs on vectors of doubles, each pair once, and the sum over the affinities. A division
// costs as much as the rest of a pair, so four vectors of pairs share one: 1/a + 1/b = (a + b) / ab.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/tsne_kl.cpp"
#include "kernels/cpu/tsne_kl.h"

#include <hwy/foreach_target.h>  // must precede highway.h
#include <hwy/highway.h>

#include <cmath>

HWY_BEFORE_NAMESPACE();
namespace lexiscope::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DoubleTag = hn::ScalableTag<double>;
using DoubleVector = hn::Vec<DoubleTag>;

// 1 + norm(y_i - y_j)^2 for the lanes' points from j on.
template <std::size_t kDimensions>
HWY_INLINE DoubleVector spread(const TsneKlWork& work, const DoubleVector* own, std::size_t j) {
  const DoubleTag d;
  auto s = hn::Set(d, 1.0);
  for (std::size_t c = 0; c < kDimensions; ++c) {
    const auto difference = hn::Sub(own[c], hn::LoadU(d, work.position[c] + j));
    s = hn::MulAdd(difference, difference, s);
  }
  return s;
}

template <std::size_t kDimensions>
double sum_row(const TsneKlWork& work, std::size_t i) {
  const DoubleTag d;
  const std::size_t lanes = hn::Lanes(d);
  DoubleVector own[kDimensions];
  for (std::size_t c = 0; c < kDimensions; ++c) own[c] = hn::Set(d, work.position[c][i]);
  auto sum = hn::Zero(d);
  std::size_t j = i + 1;
  for (; j + 4 * lanes <= work.points; j += 4 * lanes) {
    const auto s0 = spread<kDimensions>(work, own, j), s1 = spread<kDimensions>(work, own, j + lanes);
    const auto s2 = spread<kDimensions>(work, own, j + 2 * lanes), s3 = spread<kDimensions>(work, own, j + 3 * lanes);
    const auto low = hn::Mul(s0, s1), high = hn::Mul(s2, s3);
    const auto numerator = hn::MulAdd(hn::Add(s0, s1), high, hn::Mul(hn::Add(s2, s3), low));
    sum = hn::Add(sum, hn::Div(numerator, hn::Mul(low, high)));
  }
  double rest = 0;
  for (; j < work.points; ++j) {
    double s = 1;
    for (std::size_t c = 0; c < kDimensions; ++c) {
      const double difference = work.position[c][i] - work.position[c][j];
      s += difference * difference;
    }
    rest += 1 / s;
  }
  return hn::GetLane(hn::SumOfLanes(d, sum)) + rest;
}

double sum_row_2d(const TsneKlWork& work, std::size_t i) { return sum_row<2>(work, i); }
double sum_row_3d(const TsneKlWork& work, std::size_t i) { return sum_row<3>(work, i); }

}  // namespace lexiscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lexiscope::cpu {
namespace {

TsneKlWork cut_work(WorkspaceCutter& cutter, std::size_t points, std::size_t dimensions) {
  TsneKlWork work{.points = points, .dimensions = dimensions};
  for (std::size_t c = 0; c < dimensions; ++c) work.position[c] = cutter.cut<double>(points);
  work.row_sums = cutter.cut<double>(points);
  return work;
}

// row(i) for the given rows over the threads, added in order.
template <typename Row>
double sum_rows(const TsneKlWork& work, std::size_t first, std::size_t last, const Context& context, const Row& row) {
#pragma omp parallel for schedule(dynamic, 16) num_threads(context.threads)
  for (std::size_t i = first; i < last; ++i) work.row_sums[i] = row(i);
  double sum = 0;
  for (std::size_t i = first; i < last; ++i) sum += work.row_sums[i];
  return sum;
}

}  // namespace

HWY_EXPORT(sum_row_2d);
HWY_EXPORT(sum_row_3d);

std::size_t tsne_kl_workspace(std::size_t points, std::size_t dimensions) {
  WorkspaceCutter cutter(nullptr);
  cut_work(cutter, points, dimensions);
  return cutter.used();
}

TsneKlWork start_tsne_kl(const TsneKlArgs& args, const Context& context) {
  WorkspaceCutter cutter(context.workspace.data());
  const TsneKlWork work = cut_work(cutter, args.positions.rows, args.positions.columns);
  for (std::size_t c = 0; c < work.dimensions; ++c)
    for (std::size_t i = 0; i < work.points; ++i) work.position[c][i] = args.positions.row(i)[c];
  return work;
}

double tsne_kl_pairs(const TsneKlWork& work, std::size_t first, std::size_t last, const Context& context) {
  const auto row = work.dimensions == 2 ? HWY_DYNAMIC_DISPATCH(sum_row_2d) : HWY_DYNAMIC_DISPATCH(sum_row_3d);
  return sum_rows(work, first, last, context, [&](std::size_t i) { return row(work, i); });
}

double finish_tsne_kl(const TsneKlArgs& args, const TsneKlWork& work, double normalization, const Context& context) {
  const auto offsets = args.affinities->row_offsets.vector<std::int64_t>();
  const auto columns = args.affinities->columns.vector<std::int32_t>();
  const auto values = args.affinities->values.vector<float>();
  const auto over_entries = [&](const auto& term) {
    return sum_rows(work, 0, work.points, context, [&](std::size_t i) {
      double sum = 0;
      for (auto e = static_cast<std::size_t>(offsets[i]); e < static_cast<std::size_t>(offsets[i + 1]); ++e)
        sum += term(i, static_cast<std::size_t>(columns[e]), double(values[e]));
      return sum;
    });
  };
  const double total = over_entries([](std::size_t, std::size_t, double p) { return p; });
  const double divergence = over_entries([&](std::size_t i, std::size_t j, double p) {
    if (p == 0) return 0.0;  // p log p tends to 0
    double s = 1;
    for (std::size_t c = 0; c < work.dimensions; ++c) {
      const double difference = work.position[c][i] - work.position[c][j];
      s += difference * difference;
    }
    return p * std::log(p / total * s);
  });
  return divergence / total + std::log(normalization);
}

}  // namespace lexiscope::cpu
#endif
