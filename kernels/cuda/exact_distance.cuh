// The distance of a query and a point as it is reported: in double, rounded once to f32. A warp for a pair.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/sorted_keys.cuh"
#include "kernels/cuda/warp.h"
#include "lexiscope/ops/neighbors.h"

namespace lexiscope::cuda {

/// A distance and a point's index in one number: they order as (distance, index) does.
__device__ inline Key make_key(float distance, std::size_t point) {
  return Key{__float_as_uint(distance)} << 32 | static_cast<std::uint32_t>(point);
}
__device__ inline float distance_of(Key key) { return __uint_as_float(static_cast<unsigned>(key >> 32)); }
__device__ inline std::int32_t point_of(Key key) { return static_cast<std::int32_t>(key & 0xffffffffu); }

/// What pairs are measured with. Scales, under the cosine, are 1 / norm, 0 for a zero vector.
struct ExactDistances {
  MatrixView<const float> points, queries;
  const double *point_scales, *query_scales;
  Metric metric;

  /// All lanes take part and get it.
  __device__ Key key(std::size_t query, std::size_t point) const {
    const float *x = queries.row(query), *y = points.row(point);
    const float distance = metric == Metric::cosine ? cosine(x, query_scales[query], y, point_scales[point])
                                                    : static_cast<float>(sqrt(squares(x, 1, y, 1)));
    return make_key(distance, point);
  }

 private:
  __device__ double squares(const float* x, double x_scale, const float* y, double y_scale) const {
    double sum = 0;
    for (std::size_t column = threadIdx.x % kWarpSize; column < points.columns; column += kWarpSize) {
      const double difference = x[column] * x_scale - y[column] * y_scale;
      sum = fma(difference, difference, sum);
    }
    return warp_sum(sum);
  }

  // Half the squared distance of unit vectors is 1 - cos without its cancellation. Unit vectors err by at most
  // (d + 4) 2^-53 in length and place, so what lies below that is 0: the same direction.
  __device__ float cosine(const float* x, double x_scale, const float* y, double y_scale) const {
    if (x_scale == 0 || y_scale == 0) return 1;
    const double squared = squares(x, x_scale, y, y_scale);
    const double noise = static_cast<double>(points.columns + 4) * 0x1p-52;
    return squared <= noise * noise ? 0.0f : static_cast<float>(squared / 2);
  }
};

}  // namespace lexiscope::cuda
