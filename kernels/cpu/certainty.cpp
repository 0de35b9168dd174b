// The distribution over a vocabulary, reduced panel by panel behind the product: a panel's logits stay in the
// first-level cache until they have been summed, counted and searched. Rows and segments of the vocabulary are the
// threads' tasks.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/certainty.cpp"
#include "kernels/cpu/certainty.h"

#include <hwy/foreach_target.h>  // must precede highway.h

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "kernels/cpu/certainty_segment.h"
#include "kernels/cpu/exp2-inl.h"
#include "kernels/cpu/panel_product-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lexiscope::cpu::HWY_NAMESPACE {
namespace {

using F64 = hn::ScalableTag<double>;
using HalfF32 = hn::Rebind<float, F64>;

constexpr float kNoToken = -1e30f;  // where the last panel is not full: its weight is 0, and 0 times it too
constexpr float kSlack = 8;         // a weight up to exp(8) loses nothing in f32

// A row's sums over the panels so far, a lane each; in double, for they may have 100,000 terms.
struct RunningRow {
  alignas(kAlignment) double sum[kLanes] = {};
  alignas(kAlignment) double moment[kLanes] = {};
  float reference = -std::numeric_limits<float>::infinity();
  std::int32_t above = 0;
  std::size_t candidates = 0;
};

void add_to(double* HWY_RESTRICT sums, hn::Vec<F32> terms) {
  alignas(kAlignment) float lanes[kLanes];
  hn::Store(terms, F32(), lanes);
  for (std::size_t i = 0; i < kLanes; i += hn::Lanes(F64())) {
    const auto wide = hn::PromoteTo(F64(), hn::Load(HalfF32(), lanes + i));
    hn::Store(hn::Add(hn::Load(F64(), sums + i), wide), F64(), sums + i);
  }
}

// Adds the bias, closes the lanes behind the vocabulary's end, and returns the largest logit.
float finish_logits(float* logits, std::size_t columns, const float* bias) {
  const F32 f32;
  auto maximum = hn::Set(f32, kNoToken);
  for (std::size_t c = 0; c < kPanelColumns; c += kLanes) {
    auto logit = hn::Load(f32, logits + c);
    const std::size_t count = columns > c ? columns - c : 0;
    if (bias && count > 0) logit = hn::Add(logit, load_first(f32, bias + c, count));
    if (count < kLanes) logit = hn::IfThenElse(hn::FirstN(f32, count), logit, hn::Set(f32, kNoToken));
    hn::Store(logit, f32, logits + c);
    maximum = hn::Max(maximum, logit);
  }
  return hn::GetLane(hn::MaxOfLanes(f32, maximum));
}

// Every logit's distance from the reference changes with it, and its weight too.
void raise_reference(float reference, RunningRow& row) {
  const double change = double{row.reference} - reference, factor = std::exp(change);
  for (std::size_t i = 0; i < kLanes; ++i) {
    if (row.sum[i] > 0) row.moment[i] = factor * (row.moment[i] + row.sum[i] * change);
    row.sum[i] *= factor;
  }
  row.reference = reference;
}

void add_weights(const float* logits, RunningRow& row) {
  const F32 f32;
  const auto reference = hn::Set(f32, row.reference), log2_e = hn::Set(f32, static_cast<float>(std::numbers::log2e));
  for (std::size_t strip = 0; strip < kPanelColumns; strip += kStrip) {
    auto sum = hn::Zero(f32), moment = hn::Zero(f32);
    for (std::size_t c = strip; c < strip + kStrip; c += kLanes) {
      const auto distance = hn::Sub(hn::Load(f32, logits + c), reference);
      const auto weight = exp2(hn::Mul(distance, log2_e));
      sum = hn::Add(sum, weight);
      moment = hn::MulAdd(weight, distance, moment);
    }
    add_to(row.sum, sum);
    add_to(row.moment, moment);
  }
}

std::int32_t count_above(const float* logits, float target) {
  const F32 f32;
  std::size_t count = 0;
  for (std::size_t c = 0; c < kPanelColumns; c += kLanes)
    count += hn::CountTrue(f32, hn::Gt(hn::Load(f32, logits + c), hn::Set(f32, target)));
  return static_cast<std::int32_t>(count);
}

// Ids come in rising order, so a token goes behind those of an equal logit.
void keep_largest(const float* logits, std::size_t columns, std::size_t first_id, std::size_t top, Candidate* kept,
                  std::size_t& count) {
  for (std::size_t c = 0; c < columns; ++c) {
    if (count == top && !(logits[c] > kept[top - 1].logit)) continue;
    std::size_t at = count < top ? count++ : top - 1;
    for (; at > 0 && kept[at - 1].logit < logits[c]; --at) kept[at] = kept[at - 1];
    kept[at] = {logits[c], static_cast<std::int32_t>(first_id + c)};
  }
}

void observe(const CertaintySegment& segment, std::size_t panel, std::size_t row, float* logits, RunningRow& running) {
  const std::size_t columns = segment.head->columns(panel), first_id = panel * kPanelColumns;
  const float largest = finish_logits(logits, columns, segment.bias.empty() ? nullptr : segment.bias.data + first_id);
  if (largest > running.reference + kSlack) raise_reference(largest, running);
  add_weights(logits, running);
  const float target = segment.target_logit[row];
  if (largest > target) running.above += count_above(logits, target);
  Candidate* kept = segment.candidates + row * segment.candidates_stride;
  if (segment.top > 0 && (running.candidates < segment.top || largest > kept[segment.top - 1].logit))
    keep_largest(logits, columns, first_id, segment.top, kept, running.candidates);
}

void panel_logits(MatrixView<const float> x, const PackedWeights& head, std::size_t panel, float* logits) {
  for (std::size_t block = 0; block < head.blocks(); ++block)
    multiply_block(columns_from(x, block * kBlockDepth, head.depth(block)), head, block, panel, block > 0, logits,
                   kPanelColumns);
}

}  // namespace

void certainty_segment(const CertaintySegment& segment) {
  alignas(kAlignment) float logits[kRowsPerBlock * kPanelColumns];
  RunningRow rows[kRowsPerBlock];
  for (std::size_t panel = segment.first_panel; panel < segment.last_panel; ++panel) {
    panel_logits(segment.x, *segment.head, panel, logits);
    for (std::size_t row = 0; row < segment.x.rows; ++row)
      observe(segment, panel, row, logits + row * kPanelColumns, rows[row]);
  }
  for (std::size_t row = 0; row < segment.x.rows; ++row) {
    const RunningRow& running = rows[row];
    SegmentSums& sums = segment.sums[row * segment.sums_stride];
    sums = {.reference = running.reference,
            .above = running.above,
            .candidates = static_cast<std::int32_t>(running.candidates)};
    for (std::size_t i = 0; i < kLanes; ++i) sums.sum += running.sum[i], sums.moment += running.moment[i];
  }
}

// The logit of one token, with the bits that certainty_segment gives it.
float certainty_logit(MatrixView<const float> x, const PackedWeights& head, VectorView<const float> bias,
                      std::size_t token) {
  alignas(kAlignment) float logits[kPanelColumns];
  const std::size_t panel = token / kPanelColumns;
  panel_logits(x, head, panel, logits);
  finish_logits(logits, head.columns(panel), bias.empty() ? nullptr : bias.data + panel * kPanelColumns);
  return logits[token % kPanelColumns];
}

}  // namespace lexiscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lexiscope::cpu {

HWY_EXPORT(certainty_segment);
HWY_EXPORT(certainty_logit);

namespace {

constexpr std::size_t kGroupRows = 4 * kRowsPerBlock;  // rows whose partial results are held at a time

struct Workspace {
  std::size_t rows, segments, top;
  float* target_logit;    // [rows]
  SegmentSums* sums;      // [rows, segments]
  Candidate* candidates;  // [rows, segments, top]
  std::size_t* taken;     // [rows, segments] candidates already given out
  std::size_t bytes;

  Workspace(const CertaintyArgs& args, const PackedWeights& head, std::byte* base)
      : rows(std::min(kGroupRows, args.x.rows)),
        segments((head.panels() + kSegmentPanels - 1) / kSegmentPanels),
        top(args.top_id.columns) {
    WorkspaceCutter cutter(base);
    target_logit = cutter.cut<float>(rows);
    sums = cutter.cut<SegmentSums>(rows * segments);
    candidates = cutter.cut<Candidate>(rows * segments * top);
    taken = cutter.cut<std::size_t>(rows * segments);
    bytes = cutter.used();
  }
};

// Gives out the k largest of all segments' candidates.
void write_top(const CertaintyArgs& args, const Workspace& workspace, std::size_t row, std::size_t in_group,
               double log_sum_exp) {
  const SegmentSums* sums = workspace.sums + in_group * workspace.segments;
  const Candidate* candidates = workspace.candidates + in_group * workspace.segments * workspace.top;
  std::size_t* taken = workspace.taken + in_group * workspace.segments;
  std::fill_n(taken, workspace.segments, 0);
  for (std::size_t i = 0; i < workspace.top; ++i) {
    const Candidate* best = nullptr;
    std::size_t from = 0;
    for (std::size_t s = 0; s < workspace.segments; ++s) {
      if (taken[s] == static_cast<std::size_t>(sums[s].candidates)) continue;
      const Candidate* next = candidates + s * workspace.top + taken[s];
      if (!best || next->logit > best->logit) best = next, from = s;
    }
    ++taken[from];
    args.top_id.row(row)[i] = best->id;
    args.top_log_prob.row(row)[i] = static_cast<float>(best->logit - log_sum_exp);
  }
}

void combine(const CertaintyArgs& args, const Workspace& workspace, std::size_t row, std::size_t in_group) {
  const SegmentSums* sums = workspace.sums + in_group * workspace.segments;
  double reference = sums[0].reference, sum = 0, moment = 0;
  std::int32_t above = 0;
  for (std::size_t s = 1; s < workspace.segments; ++s) reference = std::max<double>(reference, sums[s].reference);
  for (std::size_t s = 0; s < workspace.segments; ++s) {
    const double change = sums[s].reference - reference, factor = std::exp(change);
    sum += factor * sums[s].sum;
    moment += factor * (sums[s].moment + sums[s].sum * change);
    above += sums[s].above;
  }
  const double log_sum_exp = reference + std::log(sum);
  const float target = workspace.target_logit[in_group];
  if (!args.entropy.empty())  // rounding may take a certain row just below 0
    args.entropy[row] = static_cast<float>(std::max(0.0, std::log(sum) - moment / sum));
  if (!args.target_log_prob.empty()) args.target_log_prob[row] = static_cast<float>(target - log_sum_exp);
  if (!args.target_rank.empty()) args.target_rank[row] = std::isnan(target) ? 0 : 1 + above;
  if (!args.top_id.empty()) write_top(args, workspace, row, in_group, log_sum_exp);
}

}  // namespace

std::size_t certainty_workspace(const CertaintyArgs& args, const PackedWeights& head) {
  return Workspace(args, head, nullptr).bytes;
}

void certainty(const CertaintyArgs& args, const PackedWeights& head, const Context& context) {
  const auto run_segment = HWY_DYNAMIC_DISPATCH(certainty_segment);
  const auto logit_of = HWY_DYNAMIC_DISPATCH(certainty_logit);
  const Workspace workspace(args, head, context.workspace.data());
#pragma omp parallel num_threads(context.threads)
  for (std::size_t first = 0; first < args.x.rows; first += kGroupRows) {
    const std::size_t rows = std::min(kGroupRows, args.x.rows - first);
    const std::size_t blocks = (rows + kRowsPerBlock - 1) / kRowsPerBlock;
#pragma omp for schedule(dynamic)
    for (std::size_t row = 0; row < rows; ++row) {
      const std::int32_t target = args.target.empty() ? -1 : args.target[first + row];
      workspace.target_logit[row] =
          target < 0 ? std::numeric_limits<float>::quiet_NaN()
                     : logit_of(args.x.rows_from(first + row, 1), head, args.bias, static_cast<std::size_t>(target));
    }
#pragma omp for schedule(dynamic)
    for (std::size_t task = 0; task < blocks * workspace.segments; ++task) {
      const std::size_t segment = task / blocks, row = task % blocks * kRowsPerBlock;
      const std::size_t at = row * workspace.segments + segment, panel = segment * kSegmentPanels;
      run_segment({.x = args.x.rows_from(first + row, std::min(kRowsPerBlock, rows - row)),
                   .head = &head,
                   .bias = args.bias,
                   .target_logit = workspace.target_logit + row,
                   .first_panel = panel,
                   .last_panel = std::min(head.panels(), panel + kSegmentPanels),
                   .top = workspace.top,
                   .sums = workspace.sums + at,
                   .sums_stride = workspace.segments,
                   .candidates = workspace.candidates + at * workspace.top,
                   .candidates_stride = workspace.segments * workspace.top});
    }
#pragma omp for schedule(static)
    for (std::size_t row = 0; row < rows; ++row) combine(args, workspace, first + row, row);
  }
}

}  // namespace lexiscope::cpu
#endif
