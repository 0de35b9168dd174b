// What the parts of a trace share: where results come from, where they go, and views of them.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "host/analysis/stage_seconds.h"
#include "host/analysis/trace_options.h"
#include "host/io/region_arrays.h"

namespace lexiscope {

struct TraceContext {
  Engine& engine;
  Model& model;
  const TraceSizes& sizes;
  const TraceOptions& options;
  RegionArrays& arrays;
  StageSeconds& seconds;
  const Control* control;
};

/// A view of engine memory that the host can read: the memory itself, or a copy of it that lives as long as this.
class HostView {
 public:
  HostView(Engine& engine, ConstTensorView view) : view_(view) {
    if (engine.memory_is_host()) return;
    copy_.resize(view.elements() * size_of(view.dtype));
    const std::span<const std::size_t> shape(view.shape.data(), view.rank);
    engine.copy_to_host(view, dense_view<void>(copy_.data(), view.dtype, shape));
    view_ = dense_view<const void>(copy_.data(), view.dtype, shape);
  }

  ConstTensorView tensor() const noexcept { return view_; }
  template <typename Element>
  const Element* data() const noexcept {
    return static_cast<const Element*>(view_.data);
  }

 private:
  ConstTensorView view_;
  std::vector<std::byte> copy_;
};

/// [1, rows, columns]: one layer of an array [L, rows, columns].
template <typename Element>
ConstTensorView as_layer(MatrixView<Element> matrix) {
  return {.data = matrix.data,
          .dtype = dtype_of<Element>(),
          .rank = 3,
          .shape = {1, matrix.rows, matrix.columns},
          .strides = {matrix.rows * matrix.stride, matrix.stride, 1}};
}

/// [1, size]: one layer of an array [L, size].
template <typename Element>
ConstTensorView as_layer(VectorView<Element> vector) {
  return {.data = vector.data,
          .dtype = dtype_of<Element>(),
          .rank = 2,
          .shape = {1, vector.size},
          .strides = {vector.size, 1}};
}

/// [1, a, b, c] of [a, b, c]: one layer of an array [L, a, b, c].
inline ConstTensorView as_layer(ConstTensorView tensor) {
  return {.data = tensor.data,
          .dtype = tensor.dtype,
          .rank = 4,
          .shape = {1, tensor.shape[0], tensor.shape[1], tensor.shape[2]},
          .strides = {tensor.shape[0] * tensor.strides[0], tensor.strides[0], tensor.strides[1], tensor.strides[2]}};
}

/// What lies in `layer` without its leading 1.
inline ConstTensorView without_layer(const ConstTensorView& layer) {
  ConstTensorView inner{.data = layer.data, .dtype = layer.dtype, .rank = layer.rank - 1};
  for (std::size_t axis = 0; axis < inner.rank; ++axis) {
    inner.shape[axis] = layer.shape[axis + 1];
    inner.strides[axis] = layer.strides[axis + 1];
  }
  return inner;
}

}  // namespace lexiscope
