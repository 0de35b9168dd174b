// Checks of arguments that attention and attention_map share: shapes of heads, and memory that is apart.
#include "host/engines/attention_checks.h"

#include <cmath>

#include "host/core/views.h"

namespace lexiscope {
namespace {

MatrixView<const std::byte> head_bytes(const ConstTensorView& view, std::size_t head) {
  const std::size_t element = size_of(view.dtype);
  return {static_cast<const std::byte*>(view.data) + head * view.strides[0] * element, view.shape[1],
          view.shape[2] * element, view.strides[1] * element};
}

// From the first head's first byte to behind the last head's last.
MatrixView<const std::byte> extent(const ConstTensorView& view) {
  const std::size_t element = size_of(view.dtype);
  const std::size_t elements = view.elements() == 0 ? 0
                                                    : (view.shape[0] - 1) * view.strides[0] +
                                                          (view.shape[1] - 1) * view.strides[1] + view.shape[2];
  return {static_cast<const std::byte*>(view.data), 1, elements * element, elements * element};
}

}  // namespace

void require_rank_3(std::string_view operation, std::string_view name, const ConstTensorView& view,
                    std::string_view axes) {
  require(view.rank == 3, "{}: {} has rank {}, needs 3 ({})", operation, name, view.rank, axes);
  require(view.strides[2] == 1 || view.shape[2] <= 1, "{}: {}'s last dimension has stride {}, needs to be dense",
          operation, name, view.strides[2]);
  require(!view.empty() || view.elements() == 0, "{}: {} is [{}, {}, {}] with no memory", operation, name,
          view.shape[0], view.shape[1], view.shape[2]);
}

void require_scores(std::string_view operation, const ConstTensorView& query, const ConstTensorView& key, float scale,
                    VectorView<const std::uint8_t> key_padding) {
  require(query.shape[2] > 0, "{}: the head size is {}, needs to be at least 1", operation, query.shape[2]);
  require(key.shape[2] == query.shape[2], "{}: key has head size {}, query {}", operation, key.shape[2],
          query.shape[2]);
  require(key.shape[0] > 0 && query.shape[0] % key.shape[0] == 0,
          "{}: query has {} heads, needs a multiple of key's {}", operation, query.shape[0], key.shape[0]);
  require(std::isfinite(scale), "{}: scale is {}, needs to be finite", operation, scale);
  require(key_padding.empty() || key_padding.size == key.shape[1], "{}: key_padding has {} elements, needs {}",
          operation, key_padding.size, key.shape[1]);
}

void require_heads_distinct(std::string_view operation, std::string_view name, const ConstTensorView& out) {
  require(out.shape[1] <= 1 || out.strides[1] >= out.shape[2], "{}: {}'s rows have a stride of {}, need {}", operation,
          name, out.strides[1], out.shape[2]);
  for (std::size_t head = 1; head < out.shape[0]; ++head)
    require(!overlaps(head_bytes(out, 0), head_bytes(out, head)), "{}: {}'s heads 0 and {} overlap in memory",
            operation, name, head);
}

void require_heads_apart(std::string_view operation, std::string_view out_name, const ConstTensorView& out,
                         std::string_view name, const ConstTensorView& input) {
  if (!overlaps(extent(out), extent(input))) return;  // as most often
  for (std::size_t head = 0; head < out.shape[0]; ++head)
    for (std::size_t other = 0; other < input.shape[0]; ++other)
      require(!overlaps(head_bytes(out, head), head_bytes(input, other)),
              "{}: {}'s head {} overlaps {}'s head {} in memory", operation, out_name, head, name, other);
}

void require_attention(const AttentionArgs& args) {
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
  require_heads_apart("attention", "out", out, "query", q);
  require_heads_apart("attention", "out", out, "key", k);
  require_heads_apart("attention", "out", out, "value", v);
}

}  // namespace lexiscope
