// The three starts of a map.
#include "host/analysis/initial_map.h"

#include <fmt/ranges.h>

#include <cmath>
#include <vector>

#include "host/analysis/random_normal.h"
#include "host/core/require.h"
#include "host/io/npy.h"

namespace lexiscope {
namespace {

constexpr double kDeviation = 1e-4;

double mean_of_column(MatrixView<const float> matrix, std::size_t column) {
  double sum = 0;
  for (std::size_t row = 0; row < matrix.rows; ++row) sum += matrix.row(row)[column];
  return sum / static_cast<double>(matrix.rows);
}

template <typename Element>
void copy_finite(const Element* values, const std::filesystem::path& path, MatrixView<float> map) {
  for (std::size_t row = 0; row < map.rows; ++row)
    for (std::size_t axis = 0; axis < map.columns; ++axis) {
      const auto value = static_cast<float>(values[row * map.columns + axis]);
      if (!std::isfinite(value))
        fail(ErrorCode::kInvalidFile, "{}: has {} in row {}, column {}", path.string(), value, row, axis);
      map.row(row)[axis] = value;
    }
}

}  // namespace

void start_from_scores(MatrixView<const float> scores, MatrixView<float> map) {
  const double first_mean = mean_of_column(scores, 0);
  double variance = 0;
  for (std::size_t row = 0; row < scores.rows; ++row) variance += std::pow(scores.row(row)[0] - first_mean, 2);
  const double deviation = std::sqrt(variance / static_cast<double>(scores.rows));
  const double scale = deviation > 0 ? kDeviation / deviation : 0;
  for (std::size_t axis = 0; axis < map.columns; ++axis) {
    const double mean = mean_of_column(scores, axis);
    for (std::size_t row = 0; row < map.rows; ++row)
      map.row(row)[axis] = static_cast<float>(scale * (scores.row(row)[axis] - mean));
  }
}

void start_at_random(std::uint64_t seed, MatrixView<float> map) {
  NormalGenerator random(seed);
  for (std::size_t row = 0; row < map.rows; ++row)
    for (std::size_t axis = 0; axis < map.columns; ++axis)
      map.row(row)[axis] = static_cast<float>(kDeviation * random.next());
}

void start_from_file(const std::filesystem::path& path, MatrixView<float> map) {
  const NpyArray array = read_npy(path);
  if (array.shape != std::vector{map.rows, map.columns})
    fail(ErrorCode::kInvalidFile, "{}: has shape [{}], the map needs [{}, {}]", path.string(),
         fmt::join(array.shape, ", "), map.rows, map.columns);
  if (array.dtype == DType::f64)
    copy_finite(array.values<double>(2), path, map);
  else
    copy_finite(array.values<float>(2), path, map);
}

}  // namespace lexiscope
