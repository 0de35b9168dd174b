// The check for NaN and infinity: it finds the first, says where, and lets every finite value pass.
#include "host/core/finite.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "tests/support/errors.h"

namespace lexiscope::testing {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::string complaint(MatrixView<const float> x, int threads) {
  return message_of([&] { require_finite("neighbors", "points", x, threads); });
}

TEST(RequireFinite, AcceptsEveryFiniteValue) {
  using Limits = std::numeric_limits<float>;
  std::vector<float> x{0.0f, -0.0f, Limits::max(), Limits::lowest(), Limits::min(), Limits::denorm_min()};
  EXPECT_EQ(complaint({x.data(), 2, 3, 3}, 1), "no error");
  EXPECT_EQ(complaint({x.data(), 0, 3, 3}, 1), "no error");
}

TEST(RequireFinite, NamesEachKind) {
  for (const auto& [value, text] : {std::pair{kNan, "nan"}, {-kNan, "nan"}, {kInfinity, "inf"}, {-kInfinity, "-inf"}}) {
    std::vector<float> x(20 * 5, 1.0f);
    x[17 * 5 + 3] = value;
    EXPECT_EQ(complaint({x.data(), 20, 5, 5}, 1),
              std::string("neighbors: points has ") + text + " in row 17, column 3");
  }
}

TEST(RequireFinite, FindsTheFirstWhateverTheThreads) {
  const std::size_t rows = 1031, columns = 129;
  for (const std::size_t at : {std::size_t{0}, columns - 1, 500 * columns + 127, rows * columns - 1}) {
    std::vector<float> x(rows * columns, -3.0f);
    x[at] = kInfinity;
    x.back() = kInfinity;
    for (const int threads : {1, 2, 3})
      EXPECT_EQ(complaint({x.data(), rows, columns, columns}, threads), "neighbors: points has inf in row " +
                                                                            std::to_string(at / columns) + ", column " +
                                                                            std::to_string(at % columns));
  }
}

TEST(RequireFinite, SkipsWhatLiesBetweenTheRows) {
  std::vector<float> x(3 * 8, kNan);
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t j = 0; j < 7; ++j) x[i * 8 + j] = 1;
  EXPECT_EQ(complaint({x.data(), 3, 7, 8}, 2), "no error");
}

}  // namespace
}  // namespace lexiscope::testing
