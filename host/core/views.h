// Checks of the matrix views in a call's arguments: that each is well formed, and that an output shares no memory with
// what is still to be read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "host/core/require.h"
#include "lexiscope/tensor.h"

namespace lexiscope {

/// A vector as a matrix of one row.
template <typename Element>
constexpr MatrixView<const Element> as_row(VectorView<Element> vector) noexcept {
  return {vector.data, 1, vector.size, vector.size};
}

/// Whether the two views are the same elements in the same places.
template <typename A, typename B>
constexpr bool same_view(MatrixView<A> a, MatrixView<B> b) noexcept {
  return a.data == b.data && a.rows == b.rows && a.columns == b.columns && (a.stride == b.stride || a.rows <= 1);
}

/// Whether the two views share an element. Exact where the strides agree, so that column ranges of one buffer count as
/// apart; where the strides differ, whether the memory between first and last element meets.
template <typename A, typename B>
bool overlaps(MatrixView<A> a, MatrixView<B> b) noexcept {
  struct Bytes {
    std::uintptr_t first, last;
    std::size_t rows, width, pitch;
  };
  const auto bytes = [](const auto& view) {
    const auto first = reinterpret_cast<std::uintptr_t>(view.data);
    const std::size_t extent = (view.rows - 1) * view.stride + view.columns;
    return Bytes{first, first + extent * sizeof(*view.data), view.rows, view.columns * sizeof(*view.data),
                 view.stride * sizeof(*view.data)};
  };
  if (a.empty() || b.empty() || a.rows == 0 || b.rows == 0 || a.columns == 0 || b.columns == 0) return false;
  Bytes lower = bytes(a), upper = bytes(b);
  if (lower.first > upper.first) std::swap(lower, upper);
  if (lower.last <= upper.first) return false;
  if (lower.rows == 1) lower.pitch = upper.pitch;  // one row has no pitch of its own
  if (upper.rows == 1) upper.pitch = lower.pitch;
  if (lower.pitch != upper.pitch || lower.pitch == 0) return true;
  const std::size_t shift = (upper.first - lower.first) % lower.pitch;
  return shift < lower.width || shift + upper.width > lower.pitch;
}

/// Throws Error{kInvalidArgument} unless `view` has memory for its elements and rows that do not run into each other.
/// `name` is the operation and the argument, as in "linear: x"; here and below.
template <typename Element>
void require_matrix(std::string_view name, MatrixView<Element> view) {
  require(!view.empty() || view.rows == 0 || view.columns == 0, "{} is [{}, {}] with no memory", name, view.rows,
          view.columns);
  require(view.rows <= 1 || view.stride >= view.columns, "{} has a stride of {}, needs at least its {} columns", name,
          view.stride, view.columns);
}

/// The same for a matrix that has to be [rows, columns].
template <typename Element>
void require_matrix(std::string_view name, MatrixView<Element> view, std::size_t rows, std::size_t columns) {
  require(view.rows == rows && view.columns == columns, "{} is [{}, {}], needs [{}, {}]", name, view.rows, view.columns,
          rows, columns);
  require_matrix(name, view);
}

/// The same for a matrix that may be empty.
template <typename Element>
void require_matrix_if_any(std::string_view name, MatrixView<Element> view, std::size_t rows, std::size_t columns) {
  if (!view.empty()) require_matrix(name, view, rows, columns);
}

/// Throws Error{kInvalidArgument} unless `vector` is empty or has `size` elements.
template <typename Element>
void require_vector_if_any(std::string_view name, VectorView<Element> vector, std::size_t size) {
  require(vector.empty() || vector.size == size, "{} has {} elements, needs {}", name, vector.size, size);
}

/// Throws Error{kInvalidArgument} unless `vector` has `size` elements.
template <typename Element>
void require_vector(std::string_view name, VectorView<Element> vector, std::size_t size) {
  require(!vector.empty(), "{} is empty, needs {} elements", name, size);
  require_vector_if_any(name, vector, size);
}

/// Throws Error{kInvalidArgument} where `output` and `input` share an element.
template <typename Output, typename Input>
void require_apart(std::string_view operation, MatrixView<Output> output, std::string_view output_name,
                   MatrixView<Input> input, std::string_view input_name) {
  require(!overlaps(output, input), "{}: {} overlaps {}: {} is [{}, {}] at {}, {} is [{}, {}] at {}", operation,
          output_name, input_name, output_name, output.rows, output.columns, fmt::ptr(output.data), input_name,
          input.rows, input.columns, fmt::ptr(input.data));
}

/// The same for an output that may be the input itself.
template <typename Output, typename Input>
void require_apart_or_same(std::string_view operation, MatrixView<Output> output, std::string_view output_name,
                           MatrixView<Input> input, std::string_view input_name) {
  if (!same_view(output, input)) require_apart(operation, output, output_name, input, input_name);
}

}  // namespace lexiscope
