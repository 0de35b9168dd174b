// Softmax attention streamed over tiles of keys, 64 queries at a time, one query a lane: scores are K (broadcast)
// times Q^T (packed once), the output gathers V^T (broadcast) times the weights, and no map is ever held.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention.cpp"
#include "kernels/cpu/attention.h"

#include <hwy/foreach_target.h>  // must precede highway.h
#include <hwy/highway.h>
#include <omp.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numbers>

#include "kernels/cpu/attention_block.h"
#include "kernels/cpu/attention_heads.h"
#include "kernels/cpu/attention_tiles-inl.h"

#if HWY_TARGET == HWY_AVX3_DL  // as attention_tiles-inl.h
HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512bf16")
#else
HWY_BEFORE_NAMESPACE();
#endif
namespace lexiscope::cpu::HWY_NAMESPACE {
namespace {
using namespace attention_tiles;

// What is kept of each query between tiles. Weights are 2^(score * log2_scale - reference); the reference is close
// below the maximum so far, and need not be it.
struct RunningRows {
  alignas(kAlignment) float tile_maximum[kTileQueries];
  alignas(kAlignment) float reference[kTileQueries];
  alignas(kAlignment) float sum[kTileQueries] = {};
  alignas(kAlignment) float moment[kTileQueries] = {};
  alignas(kAlignment) float maximum[kTileQueries];
  alignas(kAlignment) std::int32_t argmax[kTileQueries];

  RunningRows() {
    std::fill_n(reference, kTileQueries, std::numeric_limits<float>::lowest());
    std::fill_n(maximum, kTileQueries, kNone);
    std::fill_n(argmax, kTileQueries, -1);
  }
};

// Where a tile's maximum beats the one so far, takes it and the first key that has it.
void update_maximum(std::size_t first_key, std::size_t keys, std::size_t lanes, const float* scores,
                    RunningRows& rows) {
  const F32 f32;
  const I32 i32;
  for (std::size_t lane = 0; lane < lanes; lane += kLanes) {
    const Vector tile = hn::Load(f32, rows.tile_maximum + lane), before = hn::Load(f32, rows.maximum + lane);
    const auto better = hn::Gt(tile, before);
    if (hn::AllFalse(f32, better)) continue;
    auto position = hn::Zero(i32);
    for (std::size_t j = keys; j-- > 0;) {
      const auto here = hn::Eq(hn::Load(f32, scores + j * kTileQueries + lane), tile);
      position =
          hn::IfThenElse(hn::RebindMask(i32, here), hn::Set(i32, static_cast<std::int32_t>(first_key + j)), position);
    }
    hn::Store(hn::IfThenElse(better, tile, before), f32, rows.maximum + lane);
    const auto argmax = hn::Load(i32, rows.argmax + lane);
    hn::Store(hn::IfThenElse(hn::RebindMask(i32, better), position, argmax), i32, rows.argmax + lane);
  }
}

// Raises the reference of queries whose maximum has outgrown it, and scales down what was summed under the old one.
// Weights up to 2^8 lose nothing in f32 or bf16, and with that slack few tiles after the first raise any.
template <bool kEntropy>
void raise_references(std::size_t lanes, float log2_scale, std::size_t head_dim, float* out, RunningRows& rows) {
  const F32 f32;
  for (std::size_t lane = 0; lane < lanes; lane += kLanes) {
    const Vector maximum = hn::Mul(hn::Load(f32, rows.tile_maximum + lane), hn::Set(f32, log2_scale));
    const Vector reference = hn::Load(f32, rows.reference + lane);
    const auto outgrown = hn::Gt(maximum, hn::Add(reference, hn::Set(f32, 8.0f)));
    if (hn::AllFalse(f32, outgrown)) continue;
    const Vector raised = hn::IfThenElse(outgrown, maximum, reference);
    const Vector change = hn::Sub(reference, raised), factor = exp2(change);
    const Vector sum = hn::Load(f32, rows.sum + lane);
    hn::Store(raised, f32, rows.reference + lane);
    hn::Store(hn::Mul(sum, factor), f32, rows.sum + lane);
    if constexpr (kEntropy) {  // every x changes with the reference, and its weight with it
      const Vector moment = hn::MulAdd(sum, change, hn::Load(f32, rows.moment + lane));
      hn::Store(hn::Mul(moment, factor), f32, rows.moment + lane);
    }
    for (std::size_t c = 0; c < head_dim; ++c) {
      float* at = out + c * kTileQueries + lane;
      hn::Store(hn::Mul(hn::Load(f32, at), factor), f32, at);
    }
  }
}

// Divides by the sums of weights and writes the block's rows; a query that saw no key gets zeros.
void write_output(const AttentionBlock& block, std::size_t lanes, float* out, const RunningRows& rows) {
  const F32 f32;
  for (std::size_t lane = 0; lane < lanes; lane += kLanes) {
    const Vector sum = hn::Load(f32, rows.sum + lane);
    const auto saw_a_key = hn::Gt(sum, hn::Zero(f32));
    const Vector inverse = hn::IfThenElseZero(saw_a_key, hn::Div(hn::Set(f32, 1.0f), sum));
    for (std::size_t c = 0; c < block.head_dim; ++c) {
      float* at = out + c * kTileQueries + lane;
      hn::Store(hn::Mul(hn::Load(f32, at), inverse), f32, at);
    }
  }
  transpose_words(reinterpret_cast<const std::byte*>(out), kTileQueries * sizeof(float), block.head_dim, block.queries,
                  block.out, block.out_stride);
}

void write_statistics(const AttentionBlock& block, const RunningRows& rows) {
  for (std::size_t i = 0; i < block.queries; ++i) {
    const bool saw_a_key = rows.sum[i] > 0;
    const double log_sum = saw_a_key ? std::log(double{rows.sum[i]}) : 0.0;
    const double mean_x = saw_a_key ? double{rows.moment[i]} / rows.sum[i] : 0.0;
    if (block.log_sum_exp)
      block.log_sum_exp[i] = saw_a_key ? static_cast<float>(rows.reference[i] * std::numbers::ln2 + log_sum) : kNone;
    if (block.entropy)  // -sum a log a with a = 2^x / sum; rounding may take a certain row just below 0
      block.entropy[i] = static_cast<float>(std::max(0.0, log_sum - std::numbers::ln2 * mean_x));
    if (block.maximum) block.maximum[i] = saw_a_key ? rows.maximum[i] * std::abs(block.scale) : kNone;
    if (block.argmax) block.argmax[i] = rows.argmax[i];
  }
}

template <typename Product, bool kEntropy>
void attend(const AttentionBlock& block, const AttentionScratch& scratch) {
  const std::size_t lanes = lanes_of(block);
  const float log2_scale = log2_scale_of(block);
  RunningRows rows;
  pack_queries<Product>(block, scratch.query);
  std::fill_n(scratch.out, block.head_dim * kTileQueries, 0.0f);
  for (std::size_t first_key = 0; first_key < block.keys; first_key += kTileKeys) {
    const std::size_t keys = std::min(kTileKeys, block.keys - first_key);
    if (!has_visible_key(block, first_key, keys)) continue;
    score_tile<Product>(block, first_key, keys, lanes, scratch, rows.tile_maximum);
    if (needs_mask(block, first_key, keys))
      mask_tile(block, first_key, keys, lanes, scratch.weights, rows.tile_maximum);
    if (block.maximum || block.argmax) update_maximum(first_key, keys, lanes, scratch.weights, rows);
    raise_references<kEntropy>(lanes, log2_scale, block.head_dim, scratch.out, rows);
    weigh_tile<Product, kEntropy>(scratch.weights, keys, lanes, log2_scale, rows.reference, rows.sum, rows.moment);
    add_values<Product>(block, first_key, keys, lanes, scratch);
  }
  write_output(block, lanes, scratch.out, rows);
  write_statistics(block, rows);
}

template <typename Product>
void attend_with(const AttentionBlock& block, const AttentionScratch& scratch) {
  if (block.entropy)
    attend<Product, true>(block, scratch);
  else
    attend<Product, false>(block, scratch);
}

}  // namespace

void attend_block(const AttentionBlock& block, const AttentionScratch& scratch) {
  if (block.dtype == DType::f32) return attend_with<F32Product>(block, scratch);
#if HWY_TARGET == HWY_AVX3_DL
  static const bool has_bf16_products = __builtin_cpu_supports("avx512bf16");
  if (has_bf16_products) return attend_with<Bf16Native>(block, scratch);
#endif
  attend_with<Bf16Product>(block, scratch);
}

}  // namespace lexiscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lexiscope::cpu {

HWY_EXPORT(attend_block);

namespace {

struct Workspace {
  PackedHeads packed;
  AttentionScratch scratch;        // the first thread's
  std::size_t scratch_stride = 0;  // in floats, from one thread's to the next
  std::size_t bytes = 0;
};

Workspace lay_out(const AttentionArgs& args, int threads, std::byte* base) {
  const std::size_t d = args.key.shape[2];
  WorkspaceCutter cutter(base);
  Workspace workspace;
  workspace.packed = cut_heads(args.key, args.value, cutter);
  workspace.scratch_stride = (2 * d + kTileKeys) * kTileQueries;
  float* scratch = cutter.cut<float>(workspace.scratch_stride * static_cast<std::size_t>(threads));
  if (base) workspace.scratch = {scratch, scratch + d * kTileQueries, scratch + (d + kTileKeys) * kTileQueries};
  workspace.bytes = cutter.used();
  return workspace;
}

template <typename Element>
Element* statistic_row(const MatrixView<Element>& statistic, std::size_t head, std::size_t query) {
  return statistic.empty() ? nullptr : statistic.row(head) + query;
}

AttentionBlock block_of(const AttentionArgs& args, const PackedHeads& packed, std::size_t head, std::size_t first_query,
                        std::size_t seen_keys) {
  const std::size_t queries = std::min(kTileQueries, args.query.shape[1] - first_query);
  AttentionBlock block = scores_of(args, packed, head, first_query, queries, seen_keys);
  block.value = value_words(args.value, packed, head / (args.query.shape[0] / args.key.shape[0]));
  block.out = static_cast<float*>(args.out.data) + head * args.out.strides[0] + first_query * args.out.strides[1];
  block.out_stride = args.out.strides[1];
  block.log_sum_exp = statistic_row(args.statistics.log_sum_exp, head, first_query);
  block.entropy = statistic_row(args.statistics.entropy, head, first_query);
  block.maximum = statistic_row(args.statistics.maximum, head, first_query);
  block.argmax = statistic_row(args.statistics.argmax, head, first_query);
  return block;
}

}  // namespace

std::size_t attention_workspace(const AttentionArgs& args, int threads) {
  return lay_out(args, threads, nullptr).bytes;
}

void attention(const AttentionArgs& args, const Context& context) {
  const Workspace workspace = lay_out(args, context.threads, context.workspace.data());
  const std::size_t blocks = (args.query.shape[1] + kTileQueries - 1) / kTileQueries;
  const std::size_t tasks = args.query.shape[0] * blocks;
  const std::size_t seen_keys = keys_before_padding(args.key_padding, args.key.shape[1]);
  const auto attend = HWY_DYNAMIC_DISPATCH(attend_block);
#pragma omp parallel num_threads(context.threads)
  {
    pack_heads(args.key, args.value, workspace.packed);
    const std::size_t offset = static_cast<std::size_t>(omp_get_thread_num()) * workspace.scratch_stride;
    const AttentionScratch scratch{workspace.scratch.query + offset, workspace.scratch.weights + offset,
                                   workspace.scratch.out + offset};
#pragma omp for schedule(dynamic)
    for (std::size_t task = 0; task < tasks; ++task) {
      const std::size_t from_the_end =
          blocks - 1 - task % blocks;  // causal blocks are longer towards the end: these first
      attend(block_of(args, workspace.packed, task / blocks, from_the_end * kTileQueries, seen_keys), scratch);
    }
  }
}

}  // namespace lexiscope::cpu
#endif
