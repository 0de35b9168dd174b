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
  require_matrix("attention: out", args.out, q.shape[0] * q.shape[1], q.shape[2]);
  require_vector_if_any("attention: key_padding", args.key_padding, k.shape[1]);
  const auto& wanted = args.statistics;
  require_matrix_if_any("attention: log_sum_exp", wanted.log_sum_exp, q.shape[0], q.shape[1]);
  require_matrix_if_any("attention: entropy", wanted.entropy, q.shape[0], q.shape[1]);
  require_matrix_if_any("attention: maximum", wanted.maximum, q.shape[0], q.shape[1]);
  require_matrix_if_any("attention: argmax", wanted.argmax, q.shape[0], q.shape[1]);
}

MatrixView<const std::byte> bytes_of(const void* data, std::size_t rows, std::size_t columns, std::size_t stride,
                                     std::size_t element) {
  return {static_cast<const std::byte*>(data), rows, columns * element, stride * element};
}

void require_apart(const MatrixView<float>& out, std::string_view name, const ConstTensorView& input) {
  const auto out_bytes = bytes_of(out.data, out.rows, out.columns, out.stride, sizeof(float));
  const std::size_t element = size_of(input.dtype);
  for (std::size_t head = 0; head < input.shape[0]; ++head) {
    const auto* first = static_cast<const std::byte*>(input.data) + head * input.strides[0] * element;
    require(!overlaps(out_bytes, bytes_of(first, input.shape[1], input.shape[2], input.strides[1], element)),
            "attention: out overlaps {}'s head {} in memory", name, head);
  }
}

}  // namespace

void Engine::attention(const AttentionArgs& args) {
  require_shapes(args);
  require(std::isfinite(args.scale), "attention: scale is {}, needs to be finite", args.scale);
  require_apart(args.out, "query", args.query);
  require_apart(args.out, "key", args.key);
  require_apart(args.out, "value", args.value);
  if (args.out.rows > 0) do_attention(args);
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
