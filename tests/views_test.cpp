// Which matrix views share memory.
#include "host/core/views.h"

#include <gtest/gtest.h>

#include <array>

#include "tests/support/errors.h"

namespace lexiscope::testing {
namespace {

// Whether some element of a is also in b, from the definition.
bool share_an_element(MatrixView<float> a, MatrixView<float> b) {
  for (std::size_t i = 0; i < a.rows; ++i)
    for (std::size_t j = 0; j < a.columns; ++j)
      for (std::size_t k = 0; k < b.rows; ++k)
        if (a.row(i) + j >= b.row(k) && a.row(i) + j < b.row(k) + b.columns) return true;
  return false;
}

TEST(Overlaps, IsExactForViewsOfOneStride) {
  std::array<float, 64> buffer{};
  for (std::size_t first = 0; first < 24; ++first)
    for (std::size_t rows = 0; rows <= 3; ++rows)
      for (std::size_t columns = 0; columns <= 5; ++columns)
        for (std::size_t start = 0; start < 24; ++start) {
          const MatrixView<float> a{buffer.data() + start, 2, 3, 5}, b{buffer.data() + first, rows, columns, 5};
          EXPECT_EQ(overlaps(a, b), share_an_element(a, b)) << start << " " << first << " " << rows << " " << columns;
          EXPECT_EQ(overlaps(b, a), share_an_element(a, b)) << start << " " << first << " " << rows << " " << columns;
        }
}

TEST(Overlaps, OfDifferentStridesIsDecidedByTheirExtents) {
  std::array<float, 64> buffer{};
  const MatrixView<float> a{buffer.data(), 2, 3, 8};
  EXPECT_TRUE(overlaps(a, MatrixView<float>{buffer.data() + 4, 2, 1, 2}));
  EXPECT_FALSE(overlaps(a, MatrixView<float>{buffer.data() + 11, 2, 1, 2}));
  EXPECT_FALSE(overlaps(a, MatrixView<float>{}));
}

TEST(Overlaps, TakesARowAndAVectorAsOneRow) {
  std::array<float, 64> buffer{};
  const MatrixView<float> a{buffer.data(), 3, 3, 8};
  EXPECT_FALSE(overlaps(a, as_row(VectorView<float>{buffer.data() + 3, 5})));
  EXPECT_TRUE(overlaps(a, as_row(VectorView<float>{buffer.data() + 3, 6})));
}

TEST(SameView, ComparesPlaceShapeAndStride) {
  std::array<float, 64> buffer{};
  const MatrixView<float> a{buffer.data(), 2, 3, 8};
  EXPECT_TRUE(same_view(a, MatrixView<const float>(a)));
  EXPECT_FALSE(same_view(a, MatrixView<float>{buffer.data(), 2, 3, 7}));
  EXPECT_TRUE(same_view(MatrixView<float>{buffer.data(), 1, 3, 8}, MatrixView<float>{buffer.data(), 1, 3, 3}));
}

TEST(RequireMatrix, NamesTheArgumentAndItsShapeOrStride) {
  std::array<float, 64> buffer{};
  const auto message = [](MatrixView<float> view) {
    return message_of([&] { require_matrix("linear: x", view, view.rows == 0 ? 0 : 2, 3); });
  };
  EXPECT_EQ(message({buffer.data(), 2, 3, 3}), "no error");
  EXPECT_EQ(message({nullptr, 0, 3, 3}), "no error");
  EXPECT_EQ(message({buffer.data(), 1, 4, 4}), "linear: x is [1, 4], needs [2, 3]");
  EXPECT_EQ(message({buffer.data(), 2, 3, 2}), "linear: x has a stride of 2, needs at least its 3 columns");
  EXPECT_EQ(message({nullptr, 2, 3, 3}), "linear: x is [2, 3] with no memory");
  EXPECT_NO_THROW(require_matrix("linear: x", MatrixView<float>{buffer.data(), 1, 3, 0}));
  EXPECT_NO_THROW(require_matrix_if_any("linear: x", MatrixView<float>{}, 2, 3));
}

TEST(RequireVector, NamesTheArgumentAndItsSize) {
  std::array<float, 4> buffer{};
  const VectorView<float> vector{buffer.data(), 4}, none{};
  EXPECT_NO_THROW(require_vector("linear: bias", vector, 4));
  EXPECT_NO_THROW(require_vector_if_any("linear: bias", none, 4));
  EXPECT_EQ(message_of([&] { require_vector("linear: bias", vector, 3); }), "linear: bias has 4 elements, needs 3");
  EXPECT_EQ(message_of([&] { require_vector("linear: bias", none, 3); }), "linear: bias is empty, needs 3 elements");
}

}  // namespace
}  // namespace lexiscope::testing
