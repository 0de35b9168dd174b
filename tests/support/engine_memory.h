// Arrays of an engine whose memory may not be the host's, as tests fill and read them.
#pragma once

#include <array>
#include <type_traits>
#include <vector>

#include "lexiscope/engine.h"

namespace lexiscope::testing {

/// A tensor [size] with these values.
template <typename Element>
Tensor on_engine(Engine& engine, const std::vector<Element>& values) {
  Tensor tensor = engine.allocate(dtype_of<Element>(), {values.size()});
  engine.copy_to_engine(dense_view<const void>(values.data(), dtype_of<Element>(), std::array{values.size()}), tensor);
  return tensor;
}

/// The matrix's rows, one behind the other. What lies between them in memory is copied from the engine as well.
template <typename Element>
std::vector<std::remove_const_t<Element>> on_host(Engine& engine, MatrixView<Element> matrix) {
  using Value = std::remove_const_t<Element>;
  if (matrix.empty() || matrix.rows == 0) return {};
  std::vector<Value> extent((matrix.rows - 1) * matrix.stride + matrix.columns), rows;
  const std::array size{extent.size()};
  engine.copy_to_host(dense_view<const void>(matrix.data, dtype_of<Value>(), size),
                      dense_view<void>(extent.data(), dtype_of<Value>(), size));
  for (std::size_t row = 0; row < matrix.rows; ++row) {
    const Value* const first = extent.data() + row * matrix.stride;
    rows.insert(rows.end(), first, first + matrix.columns);
  }
  return rows;
}

template <typename Element>
std::vector<std::remove_const_t<Element>> on_host(Engine& engine, VectorView<Element> vector) {
  return on_host(engine, MatrixView<Element>{vector.data, 1, vector.size, vector.size});
}

template <typename Element>
std::vector<Element> on_host(Engine& engine, const Tensor& tensor) {
  return on_host(engine, tensor.vector<Element>());
}

}  // namespace lexiscope::testing
