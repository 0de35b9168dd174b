// The engine memory of a forward pass: allocated for the longest batch so far and used again by every layer.
#pragma once

#include <cstddef>

#include "lexiscope/engine.h"

namespace lexiscope {

/// A matrix [rows, columns] of f32 or bf16 (or i32) that grows with the rows asked for and keeps its columns.
class RowBuffer {
 public:
  RowBuffer() = default;
  RowBuffer(Engine& engine, DType dtype, std::size_t columns) : engine_(&engine), dtype_(dtype), columns_(columns) {}

  /// Contents are unspecified after more rows than ever before were asked for.
  MatrixView<float> rows(std::size_t count) {
    reserve(count);
    return tensor_.matrix<float>().rows_from(0, count);
  }
  TensorView view(std::size_t count) {
    reserve(count);
    TensorView view = tensor_.view();
    view.shape[0] = count;
    return view;
  }

 private:
  void reserve(std::size_t count) {
    if (count <= capacity_) return;
    tensor_ = {};  // before the larger one: both need not fit
    tensor_ = engine_->allocate(dtype_, {count, columns_});
    capacity_ = count;
  }

  Engine* engine_ = nullptr;
  DType dtype_ = DType::f32;
  std::size_t columns_ = 0, capacity_ = 0;
  Tensor tensor_;
};

}  // namespace lexiscope
