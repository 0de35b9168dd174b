// Problems that attention and attention_map are tested on: shapes, masks and inputs, the same for the same shape.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <ostream>
#include <utility>
#include <vector>

#include "lexiscope/engine.h"
#include "tests/support/bf16.h"
#include "tests/support/compare.h"
#include "tests/support/f16.h"

namespace lexiscope::testing {

inline constexpr float kInfinity = std::numeric_limits<float>::infinity();

enum class Padding { none, tail, scattered, all };

struct Shape {
  std::size_t queries, keys, d;
  std::size_t heads = 2, key_heads = 1;
  auto operator<=>(const Shape&) const = default;
};

inline std::ostream& operator<<(std::ostream& stream, const Shape& shape) {
  return stream << shape.heads << "x" << shape.queries << " queries, " << shape.key_heads << "x" << shape.keys
                << " keys, d " << shape.d;
}

// Inputs for one call, dense; bf16 and f16 values are rounded in `query`, `key` and `value` too.
struct Problem {
  Shape shape;
  DType dtype;
  AttentionMask mask = AttentionMask::none;
  float scale;
  std::vector<float> query, key, value;
  std::vector<std::uint8_t> padding;

  Problem(const Shape& shape_, DType dtype_, AttentionMask mask_ = AttentionMask::none, Padding kind = Padding::none)
      : shape(shape_), dtype(dtype_), mask(mask_), scale(1.0f / std::sqrt(static_cast<float>(shape.d))) {
    const auto seed = static_cast<unsigned>(shape.queries * 1009 + shape.keys * 31 + shape.d);
    query = random_normal(shape.heads * shape.queries * shape.d, seed);
    key = random_normal(shape.key_heads * shape.keys * shape.d, seed + 1);
    value = random_normal(shape.key_heads * shape.keys * shape.d, seed + 2, 0.5f);
    round_to_type();
    if (kind == Padding::none) return;
    padding.assign(shape.keys, kind == Padding::all ? 0 : 1);
    for (std::size_t j = 0; j < shape.keys; ++j)
      if (kind == Padding::tail ? 3 * j >= 2 * shape.keys : j % 3 == 0) padding[j] = 0;
  }

  void round_to_type() {
    for (auto* values : {&query, &key, &value}) {
      if (dtype == DType::bf16) round_to_bf16(*values);
      if (dtype == DType::f16) round_to_f16(*values);
    }
  }
  bool is_visible(std::size_t query_index, std::size_t key_index) const {
    if (!padding.empty() && padding[key_index] == 0) return false;
    return mask == AttentionMask::none || key_index + shape.queries <= query_index + shape.keys;
  }
};

/// scale * q . k for row `row` of all heads' queries.
inline double score(const Problem& problem, std::size_t row, std::size_t key) {
  const Shape& shape = problem.shape;
  const std::size_t group = row / shape.queries / (shape.heads / shape.key_heads), d = shape.d;
  const float *q = problem.query.data() + row * d, *k = problem.key.data() + (group * shape.keys + key) * d;
  return problem.scale * std::inner_product(q, q + d, k, 0.0, std::plus<>(), [](double x, double y) { return x * y; });
}

/// The heads of `values` as the problem's type has them; `room` keeps what 16 bits need and has to outlive the view.
inline ConstTensorView heads_view(const Problem& problem, const std::vector<float>& values, std::size_t heads,
                                  std::size_t tokens, std::vector<std::uint16_t>& room) {
  const std::size_t extents[] = {heads, tokens, problem.shape.d};
  if (problem.dtype == DType::f32) return dense_view<const void>(values.data(), DType::f32, extents);
  room.clear();
  for (const float x : values) room.push_back(problem.dtype == DType::f16 ? to_f16(x) : to_bf16(x));
  return dense_view<const void>(room.data(), problem.dtype, extents);
}

/// Memory for a problem's inputs in its own type.
using Rooms = std::array<std::vector<std::uint16_t>, 3>;

/// All that attention() gives.
struct Attended {
  std::vector<float> out, log_sum_exp, entropy, maximum;
  std::vector<std::int32_t> argmax;

  explicit Attended(const Shape& shape)
      : out(shape.heads * shape.queries * shape.d, NAN),
        log_sum_exp(shape.heads * shape.queries, NAN),
        entropy(log_sum_exp),
        maximum(log_sum_exp),
        argmax(log_sum_exp.size(), -2) {}
  bool operator==(const Attended&) const = default;
};

/// `rooms` keeps what 16 bits need and has to outlive the arguments, as do the problem and `got`.
inline AttentionArgs attention_args(const Problem& problem, Rooms& rooms, Attended& got) {
  const Shape& shape = problem.shape;
  const auto rows = [&]<typename Element>(std::vector<Element>& values) {
    return MatrixView<Element>{values.data(), shape.heads, shape.queries, shape.queries};
  };
  return {.query = heads_view(problem, problem.query, shape.heads, shape.queries, rooms[0]),
          .key = heads_view(problem, problem.key, shape.key_heads, shape.keys, rooms[1]),
          .value = heads_view(problem, problem.value, shape.key_heads, shape.keys, rooms[2]),
          .out = dense_view<void>(got.out.data(), DType::f32, std::array{shape.heads, shape.queries, shape.d}),
          .scale = problem.scale,
          .mask = problem.mask,
          .key_padding = {problem.padding.data(), problem.padding.size()},
          .statistics = {.log_sum_exp = rows(got.log_sum_exp),
                         .entropy = rows(got.entropy),
                         .maximum = rows(got.maximum),
                         .argmax = rows(got.argmax)}};
}

inline Attended attend(const Problem& problem, Engine& engine) {
  Rooms rooms;
  Attended got(problem.shape);
  engine.attention(attention_args(problem, rooms, got));
  return got;
}

using Masks = std::pair<AttentionMask, Padding>;

}  // namespace lexiscope::testing
