// Attention on the engines: the check that all share, and the calls into the kernels.
#include "kernels/cpu/attention.h"

#include <cmath>

#include "host/core/require.h"
#include "host/core/views.h"
#include "host/engines/engines.h"
#include "kernels/reference/attention.h"

namespace lexiscope {
namespace {

void require_heads(std::string_view name, const ConstTensorView& view) {
  require(view.rank == 3, "attention: {} has rank {}, needs 3 (heads, tokens, head size)", name, view.rank);
  require(view.strides[2] == 1 || view.shape[2] <= 1, "attention: {}'s last dimension has stride {}, needs to be dense",
          name, view.strides[2]);
  require(!view.empty() || view.elements() == 0, "attention: {} is [{}, {}, {}] with no memory", name, view.shape[0],
          view.shape[1], view.shape[2]);
}

MatrixView<const std::byte> head_bytes(const ConstTensorView& view, std::size_t head) {
  const std::size_t element = size_of(view.dtype);
  return {static_cast<const std::byte*>(view.data) + head * view.strides[0] * element, view.shape[1],
          view.shape[2] * element, view.strides[1] * element};
}

// Rows of one head, and heads, that do not run into each other.
void require_out(const ConstTensorView& out, const ConstTensorView& query) {
  require_heads("out", out);
  require(out.dtype == DType::f32, "attention: out is {}, needs to be f32", name_of(out.dtype));
  require(out.shape == query.shape, "attention: out is [{}, {}, {}], needs the query's [{}, {}, {}]", out.shape[0],
          out.shape[1], out.shape[2], query.shape[0], query.shape[1], query.shape[2]);
  require(out.shape[1] <= 1 || out.strides[1] >= out.shape[2], "attention: out's rows have a stride of {}, need {}",
          out.strides[1], out.shape[2]);
  for (std::size_t head = 1; head < out.shape[0]; ++head)
    require(!overlaps(head_bytes(out, 0), head_bytes(out, head)), "attention: out's heads 0 and {} overlap in memory",
            head);
}

void require_shapes(const AttentionArgs& args) {
  const auto &q = args.query, &k = args.key, &v = args.value;
  require_heads("query", q);
  require_heads("key", k);
  require_heads("value", v);
  require(q.dtype == k.dtype && q.dtype == v.dtype, "attention: query is {}, key {}, value {}, need to be the same",
          name_of(q.dtype), name_of(k.dtype), name_of(v.dtype));
  require(q.shape[2] > 0, "attention: the head size is {}, needs to be at least 1", q.shape[2]);
  require(k.shape[2] == q.shape[2], "attention: key has head size {}, query {}", k.shape[2], q.shape[2]);
  require(v.shape[0] == k.shape[0] && v.shape[1] == k.shape[1] && v.shape[2] == k.shape[2],
          "attention: value is [{}, {}, {}], key is [{}, {}, {}]", v.shape[0], v.shape[1], v.shape[2], k.shape[0],
          k.shape[1], k.shape[2]);
  require(k.shape[0] > 0 && q.shape[0] % k.shape[0] == 0, "attention: query has {} heads, needs a multiple of key's {}",
          q.shape[0], k.shape[0]);
  require_out(args.out, q);
  require_vector_if_any("attention: key_padding", args.key_padding, k.shape[1]);
  const auto& wanted = args.statistics;
  require_matrix_if_any("attention: log_sum_exp", wanted.log_sum_exp, q.shape[0], q.shape[1]);
  require_matrix_if_any("attention: entropy", wanted.entropy, q.shape[0], q.shape[1]);
  require_matrix_if_any("attention: maximum", wanted.maximum, q.shape[0], q.shape[1]);
  require_matrix_if_any("attention: argmax", wanted.argmax, q.shape[0], q.shape[1]);
}

void require_apart(const ConstTensorView& out, std::string_view name, const ConstTensorView& input) {
  for (std::size_t head = 0; head < out.shape[0]; ++head)
    for (std::size_t other = 0; other < input.shape[0]; ++other)
      require(!overlaps(head_bytes(out, head), head_bytes(input, other)),
              "attention: out's head {} overlaps {}'s head {} in memory", head, name, other);
}

}  // namespace

void Engine::attention(const AttentionArgs& args) {
  require_shapes(args);
  require(std::isfinite(args.scale), "attention: scale is {}, needs to be finite", args.scale);
  require_apart(args.out, "query", args.query);
  require_apart(args.out, "key", args.key);
  require_apart(args.out, "value", args.value);
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
