// Borrowed, row-major views, and the tensor that owns memory on an engine. Typed views say in the signature what an
// operation takes; untyped ones carry their element type at run time, for operations that take several.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <type_traits>

namespace lexiscope {

enum class DType : std::uint8_t { f32, bf16, f16, f64, i32, i64, u8 };

constexpr std::size_t size_of(DType dtype) noexcept {
  switch (dtype) {
    case DType::f64:
    case DType::i64:
      return 8;
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::bf16:
    case DType::f16:
      return 2;
    case DType::u8:
      return 1;
  }
  return 0;
}

constexpr std::string_view name_of(DType dtype) noexcept {
  constexpr std::string_view kNames[] = {"f32", "bf16", "f16", "f64", "i32", "i64", "u8"};
  return kNames[static_cast<std::size_t>(dtype)];
}

/// The DType of a C++ element type. bf16 and f16 have none in C++20: they travel as untyped views.
template <typename Element>
constexpr DType dtype_of() noexcept {
  using Plain = std::remove_const_t<Element>;
  if constexpr (std::is_same_v<Plain, float>) return DType::f32;
  if constexpr (std::is_same_v<Plain, double>) return DType::f64;
  if constexpr (std::is_same_v<Plain, std::int32_t>) return DType::i32;
  if constexpr (std::is_same_v<Plain, std::int64_t>) return DType::i64;
  if constexpr (std::is_same_v<Plain, std::uint8_t>) return DType::u8;
}

/// A row-major [rows, columns] view; `stride` elements lie between the starts of two rows.
template <typename Element>
struct MatrixView {
  Element* data = nullptr;
  std::size_t rows = 0;
  std::size_t columns = 0;
  std::size_t stride = 0;

  constexpr bool empty() const noexcept { return data == nullptr; }
  constexpr Element* row(std::size_t index) const noexcept { return data + index * stride; }
  constexpr MatrixView rows_from(std::size_t first, std::size_t count) const noexcept {
    return {data + first * stride, count, columns, stride};
  }
  constexpr operator MatrixView<const Element>() const noexcept requires(!std::is_const_v<Element>) {
    return {data, rows, columns, stride};
  }
};

template <typename Element>
struct VectorView {
  Element* data = nullptr;
  std::size_t size = 0;

  constexpr bool empty() const noexcept { return data == nullptr; }
  constexpr Element& operator[](std::size_t index) const noexcept { return data[index]; }
  constexpr operator VectorView<const Element>() const noexcept requires(!std::is_const_v<Element>) {
    return {data, size};
  }
};

inline constexpr std::size_t kMaxRank = 4;

/// A strided view whose element type is known at run time. Strides count elements; the last dimension is dense.
/// Void is `void` or `const void`.
template <typename Void>
struct BasicTensorView {
  Void* data = nullptr;
  DType dtype = DType::f32;
  std::size_t rank = 0;
  std::array<std::size_t, kMaxRank> shape{};
  std::array<std::size_t, kMaxRank> strides{};

  constexpr bool empty() const noexcept { return data == nullptr; }
  constexpr std::size_t elements() const noexcept {
    std::size_t count = 1;
    for (std::size_t axis = 0; axis < rank; ++axis) count *= shape[axis];
    return count;
  }
  constexpr operator BasicTensorView<const void>() const noexcept requires(!std::is_const_v<Void>) {
    return {data, dtype, rank, shape, strides};
  }
};

using TensorView = BasicTensorView<void>;
using ConstTensorView = BasicTensorView<const void>;

/// A dense view of `data` with the given shape (at most kMaxRank dimensions).
template <typename Void>
constexpr BasicTensorView<Void> dense_view(Void* data, DType dtype, std::span<const std::size_t> shape) noexcept {
  BasicTensorView<Void> view{.data = data, .dtype = dtype, .rank = shape.size(), .shape = {}, .strides = {}};
  std::size_t stride = 1;
  for (std::size_t axis = shape.size(); axis-- > 0;) {
    view.shape[axis] = shape[axis];
    view.strides[axis] = stride;
    stride *= shape[axis];
  }
  return view;
}

/// Memory on an engine, shared by its copies; an engine makes it (Engine::allocate). The typed accessors throw
/// Error{kInvalidArgument} where the rank or the element type is another.
class Tensor {
 public:
  Tensor() = default;
  Tensor(std::shared_ptr<void> storage, TensorView view) : storage_(std::move(storage)), view_(view) {}

  TensorView view() const noexcept { return view_; }
  operator TensorView() const noexcept { return view_; }
  operator ConstTensorView() const noexcept { return view_; }
  bool empty() const noexcept { return view_.empty(); }

  template <typename Element>
  MatrixView<Element> matrix() const {
    expect(dtype_of<Element>(), 2);
    return {static_cast<Element*>(view_.data), view_.shape[0], view_.shape[1], view_.strides[0]};
  }
  template <typename Element>
  VectorView<Element> vector() const {
    expect(dtype_of<Element>(), 1);
    return {static_cast<Element*>(view_.data), view_.shape[0]};
  }

 private:
  void expect(DType dtype, std::size_t rank) const;

  std::shared_ptr<void> storage_;
  TensorView view_;
};

}  // namespace lexiscope
