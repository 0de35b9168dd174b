// Softmax attention streamed over tiles of keys, 64 queries at a time, one query a lane: scores are K (broadcast)
// times Q^T (packed once), the output gathers V^T (broadcast) times the weights, and no map is ever held.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention.cpp"
#include "kernels/cpu/attention.h"

#include <hwy/foreach_target.h>  // must precede highway.h
#include <hwy/highway.h>
#include <omp.h>

#include <algorithm>

#include "kernels/cpu/attention_block.h"
#include "kernels/cpu/attention_heads.h"
#include "kernels/cpu/attention_rows-inl.h"
#include "kernels/cpu/attention_tiles-inl.h"

#if HWY_TARGET == HWY_AVX3_DL  // as attention_tiles-inl.h
HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512bf16")
#else
HWY_BEFORE_NAMESPACE();
#endif
namespace lexiscope::cpu::HWY_NAMESPACE {
namespace {
using namespace attention_tiles;

// Every tile in the same place, and nothing taken of it.
struct OneTile {
  float* values;

  float* place(std::size_t /*first_key*/) const { return values; }
  void take_scores(const Tile& /*tile*/) const {}
  void take_references(const Tile& /*tile*/, const float* /*reference*/) const {}
};

template <typename Product>
void attend_with(const AttentionBlock& block, const AttentionScratch& scratch) {
  OneTile tile{scratch.weights};
  RunningRows rows;
  attend<Product>(block, scratch, tile, rows);
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
      const std::size_t first_query = from_the_end * kTileQueries;
      const std::size_t queries = std::min(kTileQueries, args.query.shape[1] - first_query);
      attend(attention_block_of(args, workspace.packed, task / blocks, first_query, queries, seen_keys), scratch);
    }
  }
}

}  // namespace lexiscope::cpu
#endif
