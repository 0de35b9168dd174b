// What is said of affinities' arguments where only looking at the data, or computing, shows that they are wrong.
#pragma once

#include <cmath>
#include <cstdint>

#include "host/core/require.h"
#include "lexiscope/ops/affinities.h"

namespace lexiscope {

/// Throws Error{kInvalidArgument} unless `index` and `distance` may be those of neighbour n of point i among N.
inline void require_neighbor(std::size_t N, std::size_t i, std::size_t n, std::int32_t index, float distance) {
  require(index >= 0 && static_cast<std::size_t>(index) < N && static_cast<std::size_t>(index) != i,
          "affinities: indices[{}, {}] is {}, needs to be 0 to {} and not {} itself", i, n, index, N - 1, i);
  require(distance >= 0 && std::isfinite(distance),
          "affinities: distances[{}, {}] is {}, needs to be finite and not negative", i, n, distance);
}

[[noreturn]] inline void fail_underflow(const GlobalAffinitiesArgs& args) {
  fail(ErrorCode::kInvalidArgument,
       "global_affinities: sigma is {}, too small for these points: exp(-distance^2 / 2 sigma^2) is 0 for every pair",
       args.sigma);
}

}  // namespace lexiscope
