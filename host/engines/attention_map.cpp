// The attention map's observables on the engines: the check that all share, and the calls into the kernels.
#include "kernels/cpu/attention_map.h"

#include <algorithm>

#include "host/core/require.h"
#include "host/core/views.h"
#include "host/engines/attention_checks.h"
#include "host/engines/engines.h"
#include "kernels/reference/attention_map.h"

namespace lexiscope {
namespace {

constexpr std::string_view kName = "attention_map";

void require_out(std::string_view name, const ConstTensorView& out, DType dtype, std::size_t heads) {
  require_rank_3(kName, name, out, "heads, rows, columns");
  require(out.dtype == dtype, "attention_map: {} is {}, needs to be {}", name, name_of(out.dtype), name_of(dtype));
  require(out.shape[0] == heads, "attention_map: {} has {} heads, query {}", name, out.shape[0], heads);
  require_heads_distinct(kName, name, out);
}

void require_pooled(const AttentionMapArgs& args, std::string_view name, const ConstTensorView& pooled) {
  if (pooled.empty()) return;
  const std::size_t queries = args.query.shape[1], keys = args.key.shape[1];
  require_out(name, pooled, DType::f32, args.query.shape[0]);
  require(pooled.shape[1] == pooled.shape[2], "attention_map: {} is [{}, {}, {}], needs to be [heads, P, P]", name,
          pooled.shape[0], pooled.shape[1], pooled.shape[2]);
  require(queries == 0 || keys == 0 || (pooled.shape[1] <= queries && pooled.shape[1] <= keys),
          "attention_map: {} has {} cells a side, needs at most {} queries and {} keys", name, pooled.shape[1], queries,
          keys);
}

void require_top(const AttentionMapArgs& args) {
  const ConstTensorView index = args.top_index, weight = args.top_weight;
  require(index.empty() == weight.empty(), "attention_map: {} is given without {}",
          index.empty() ? "top_weight" : "top_index", index.empty() ? "top_index" : "top_weight");
  if (index.empty()) return;
  require_out("top_index", index, DType::i32, args.query.shape[0]);
  require_out("top_weight", weight, DType::f32, args.query.shape[0]);
  require(index.shape[1] == args.query.shape[1], "attention_map: top_index has {} rows, query {}", index.shape[1],
          args.query.shape[1]);
  require(weight.shape == index.shape, "attention_map: top_weight is [{}, {}, {}], top_index [{}, {}, {}]",
          weight.shape[0], weight.shape[1], weight.shape[2], index.shape[0], index.shape[1], index.shape[2]);
}

// Without overflow, whatever the first query and key.
void require_within(std::string_view name, std::size_t first, std::size_t count, std::size_t of) {
  require(first <= of && count <= of - first, "attention_map: the rectangle has {} {} from {} on, the map {} in all",
          count, name, first, of);
}

void require_shapes(const AttentionMapArgs& args) {
  const auto &q = args.query, &k = args.key;
  require_rank_3(kName, "query", q);
  require_rank_3(kName, "key", k);
  require(q.dtype == k.dtype, "attention_map: query is {}, key {}, need to be the same", name_of(q.dtype),
          name_of(k.dtype));
  require_scores(kName, q, k, args.scale, args.key_padding);
  const std::size_t heads = q.shape[0], queries = q.shape[1], keys = k.shape[1];
  require_matrix("attention_map: log_sum_exp", args.log_sum_exp, heads, queries);
  require_matrix_if_any("attention_map: received", args.received, heads, keys);
  require_matrix_if_any("attention_map: by_distance", args.by_distance, heads, std::max(queries, keys));
  require_pooled(args, "pooled_mean", args.pooled_mean);
  require_pooled(args, "pooled_maximum", args.pooled_maximum);
  if (!args.pooled_mean.empty() && !args.pooled_maximum.empty())
    require(args.pooled_mean.shape == args.pooled_maximum.shape,
            "attention_map: pooled_mean has {} cells a side, pooled_maximum {}", args.pooled_mean.shape[1],
            args.pooled_maximum.shape[1]);
  require_top(args);
  if (args.rectangle.empty()) return;
  require_out("rectangle", args.rectangle, DType::f32, heads);
  require_within("queries", args.first_query, args.rectangle.shape[1], queries);
  require_within("keys", args.first_key, args.rectangle.shape[2], keys);
}

ConstTensorView as_tensor(MatrixView<const float> matrix) {
  return {.data = matrix.data, .rank = 3, .shape = {1, matrix.rows, matrix.columns}, .strides = {0, matrix.stride, 1}};
}

// Every output that is wanted is apart from `other`.
void require_outputs_apart(const AttentionMapArgs& args, std::string_view other_name, const ConstTensorView& other) {
  const struct {
    std::string_view name;
    ConstTensorView view;
  } outputs[] = {{"received", as_tensor(args.received)}, {"by_distance", as_tensor(args.by_distance)},
                 {"pooled_mean", args.pooled_mean},      {"pooled_maximum", args.pooled_maximum},
                 {"top_index", args.top_index},          {"top_weight", args.top_weight},
                 {"rectangle", args.rectangle}};
  for (const auto& [name, view] : outputs)
    if (!view.empty()) require_heads_apart(kName, name, view, other_name, other);
}

void require_attention_map(const AttentionMapArgs& args) {
  require_shapes(args);
  require_outputs_apart(args, "query", args.query);
  require_outputs_apart(args, "key", args.key);
  require_outputs_apart(args, "log_sum_exp", as_tensor(args.log_sum_exp));
}

bool is_same(const ConstTensorView& a, const ConstTensorView& b) {
  return a.data == b.data && a.dtype == b.dtype && a.shape == b.shape && a.strides == b.strides;
}

// What attention() would write or read is what the map is read from.
void require_map_of(const AttentionArgs& args, const AttentionMapArgs& map) {
  const auto& lse = args.statistics.log_sum_exp;
  const struct {
    std::string_view name;
    bool same;
  } parts[] = {{"query", is_same(map.query, args.query)},
               {"key", is_same(map.key, args.key)},
               {"scale", map.scale == args.scale},
               {"mask", map.mask == args.mask},
               {"key_padding", map.key_padding.data == args.key_padding.data},
               {"log_sum_exp", map.log_sum_exp.data == lse.data && map.log_sum_exp.stride == lse.stride}};
  for (const auto& [name, same] : parts)
    require(same, "attention_with_map: the map's {} is not the attention's own", name);
  require_outputs_apart(map, "value", args.value);
  require_outputs_apart(map, "out", args.out);
}

}  // namespace

void Engine::attention_map(const AttentionMapArgs& args) {
  require_attention_map(args);
  do_attention_map(args);
}

void Engine::attention_with_map(const AttentionArgs& args, const AttentionMapArgs& map) {
  require_attention(args);
  require_attention_map(map);
  require_map_of(args, map);
  do_attention_with_map(args, map);
}

void ReferenceEngine::do_attention_map(const AttentionMapArgs& args) {
  const DType dtype = args.query.dtype;
  if (dtype != DType::f32 && dtype != DType::f64 && dtype != DType::bf16 && dtype != DType::f16)
    fail(ErrorCode::kUnsupported, "attention_map: the reference engine takes f32, f64, bf16 and f16, not {}",
         name_of(dtype));
  reference::attention_map(args);
}

void CpuEngine::do_attention_map(const AttentionMapArgs& args) {
  const DType dtype = args.query.dtype;
  if (dtype != DType::f32 && dtype != DType::bf16)
    fail(ErrorCode::kUnsupported, "attention_map: the cpu engine takes f32 and bf16, not {}", name_of(dtype));
  cpu::attention_map(args, context(cpu::attention_map_workspace(args, threads_)));
}

// In one pass over the keys where attention's weights are f32's; bf16's are rounded, and the map is read from its own.
void CpuEngine::do_attention_with_map(const AttentionArgs& args, const AttentionMapArgs& map) {
  const bool empty = args.out.elements() == 0 || args.key.shape[1] == 0;
  if (empty || args.query.dtype != DType::f32) return Engine::do_attention_with_map(args, map);
  cpu::attention_with_map(args, map, context(cpu::attention_with_map_workspace(args, map, threads_)));
}

}  // namespace lexiscope
