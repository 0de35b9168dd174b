// A job's arrays on their way between the host's memory and an engine's. On an engine whose memory is the host's they
// stay where they are.
#pragma once

#include <algorithm>
#include <array>
#include <span>

#include "host/core/host_memory.h"
#include "host/io/npy.h"
#include "lexiscope/engine.h"

namespace lexiscope {

/// The tensor itself, or a copy in the host's memory once the engine is done with it: waits for what was enqueued.
inline Tensor on_host(Engine& engine, const Tensor& tensor) {
  if (engine.memory_is_host()) return tensor;
  const TensorView view = tensor.view();
  Tensor copy = allocate_host_tensor(view.dtype, std::span(view.shape.data(), view.rank));
  engine.copy_to_host(tensor, copy);
  return copy;
}

/// A tensor of the host's memory itself, or a copy on the engine.
inline Tensor on_engine(Engine& engine, const Tensor& tensor) {
  if (engine.memory_is_host()) return tensor;
  const TensorView view = tensor.view();
  Tensor copy = engine.allocate(view.dtype, std::span(view.shape.data(), view.rank));
  engine.copy_to_engine(tensor, copy);
  return copy;
}

/// Rows of the host's memory as an operation on points takes them: themselves, or a copy on the engine, which `memory`
/// then holds.
inline MatrixView<const float> rows_on_engine(Engine& engine, MatrixView<const float> rows, Tensor& memory) {
  if (engine.memory_is_host()) return rows;
  const std::array shape{rows.rows, rows.columns};
  memory = engine.allocate(DType::f32, shape);
  if (rows.stride == rows.columns || rows.rows <= 1) {
    engine.copy_to_engine(dense_view<const void>(rows.data, DType::f32, shape), memory);
  } else {
    const Tensor dense = allocate_host_tensor(DType::f32, shape);
    for (std::size_t row = 0; row < rows.rows; ++row)
      std::copy_n(rows.row(row), rows.columns, dense.matrix<float>().row(row));
    engine.copy_to_engine(dense, memory);
  }
  return memory.matrix<float>();
}

/// The values of a file, of the tensor's type and shape.
template <typename Element>
void copy_to_engine(Engine& engine, const NpyArray& saved, const Tensor& tensor) {
  const TensorView view = tensor.view();
  engine.copy_to_engine(dense_view<const void>(saved.values<Element>(view.rank), dtype_of<Element>(), saved.shape),
                        tensor);
}

}  // namespace lexiscope
