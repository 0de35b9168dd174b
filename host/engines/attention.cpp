// Attention on the engines: the check that all share, and the calls into the kernels.
#include "kernels/cpu/attention.h"

#include "host/core/require.h"
#include "host/core/views.h"
#include "host/engines/attention_checks.h"
#include "host/engines/engines.h"
#include "kernels/reference/attention.h"

namespace lexiscope {
namespace {

void require_shapes(const AttentionArgs& args) {
  const auto &q = args.query, &k = args.key, &v = args.value;
  const ConstTensorView out = args.out;
  require_rank_3("attention", "query", q);
  require_rank_3("attention", "key", k);
  require_rank_3("attention", "value", v);
  require(q.dtype == k.dtype && q.dtype == v.dtype, "attention: query is {}, key {}, value {}, need to be the same",
          name_of(q.dtype), name_of(k.dtype), name_of(v.dtype));
  require_scores("attention", q, k, args.scale, args.key_padding);
  require(v.shape == k.shape, "attention: value is [{}, {}, {}], key is [{}, {}, {}]", v.shape[0], v.shape[1],
          v.shape[2], k.shape[0], k.shape[1], k.shape[2]);
  require_rank_3("attention", "out", out);
  require(out.dtype == DType::f32, "attention: out is {}, needs to be f32", name_of(out.dtype));
  require(out.shape == q.shape, "attention: out is [{}, {}, {}], needs the query's [{}, {}, {}]", out.shape[0],
          out.shape[1], out.shape[2], q.shape[0], q.shape[1], q.shape[2]);
  require_heads_distinct("attention", "out", out);
  const auto& wanted = args.statistics;
  require_matrix_if_any("attention: log_sum_exp", wanted.log_sum_exp, q.shape[0], q.shape[1]);
  require_matrix_if_any("attention: entropy", wanted.entropy, q.shape[0], q.shape[1]);
  require_matrix_if_any("attention: maximum", wanted.maximum, q.shape[0], q.shape[1]);
  require_matrix_if_any("attention: argmax", wanted.argmax, q.shape[0], q.shape[1]);
}

}  // namespace

void Engine::attention(const AttentionArgs& args) {
  require_shapes(args);
  require_heads_apart("attention", "out", args.out, "query", args.query);
  require_heads_apart("attention", "out", args.out, "key", args.key);
  require_heads_apart("attention", "out", args.out, "value", args.value);
  if (args.out.elements() > 0) do_attention(args);
}

void ReferenceEngine::do_attention(const AttentionArgs& args) {
  const DType dtype = args.query.dtype;
  if (dtype != DType::f32 && dtype != DType::f64 && dtype != DType::bf16 && dtype != DType::f16)
    fail(ErrorCode::kUnsupported, "attention: the reference engine takes f32, f64, bf16 and f16, not {}",
         name_of(dtype));
  reference::attention(args);
}

void CpuEngine::do_attention(const AttentionArgs& args) {
  const DType dtype = args.query.dtype;
  if (dtype != DType::f32 && dtype != DType::bf16)
    fail(ErrorCode::kUnsupported, "attention: the cpu engine takes f32 and bf16, not {}", name_of(dtype));
  cpu::attention(args, context(cpu::attention_workspace(args, threads_)));
}

}  // namespace lexiscope
