// Exact nearest neighbours, Euclidean or cosine.
#pragma once

#include <cstdint>

#include "lexiscope/control.h"
#include "lexiscope/tensor.h"

namespace lexiscope {

enum class Metric : std::uint8_t {
  euclidean,  ///< norm(x - y)
  cosine,     ///< 1 - x . y / (norm(x) norm(y)); a zero vector has cosine 0 with everything
};

/// The k points nearest to each query, nearest first; of equal distances the lower index comes first. Without
/// queries, each point's neighbours among the others: the point itself is left out by its index, so duplicates of
/// it are found. Exact: every distance is evaluated or excluded by a proven bound; distances are rounded to f32, and
/// points whose distances differ by less than that rounding may change places.
///
/// M = 0 does nothing. Throws Error{kInvalidArgument} where a shape disagrees, k is 0 or more than there are
/// candidates, N exceeds 2^31 - 1, or a point or query holds a NaN or infinity (names the row).
struct NeighborsArgs {
  MatrixView<const float> points{};   ///< [N, d]
  MatrixView<const float> queries{};  ///< [M, d], or empty: the points themselves, each left out of its own list
  Metric metric = Metric::euclidean;
  MatrixView<std::int32_t> indices{};  ///< [M, k] out: rows of `points`
  MatrixView<float> distances{};       ///< [M, k] out, ascending
  const Control* control = nullptr;
};

}  // namespace lexiscope
