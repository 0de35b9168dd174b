#pragma once

#include <array>
#include <cstddef>
#include <optional>

#include "kernels/cpu/grid_convolution.h"
#include "lexiscope/ops/tsne_gradient.h"

namespace lexiscope::cpu {

/// A charge grid over a map. Its far kernel is the whole 1 / (1 + r^2) where there is no near field.
struct TsneGridConfig {
  GridShape shape;
  double spacing = 1;       ///< of the nodes, in the unit of the map
  bool near_field = false;  ///< pairs closer than kTsneCutoff are corrected one by one
  bool operator==(const TsneGridConfig&) const = default;
};

struct TsneConfig {
  std::optional<TsneGridConfig> grid;  ///< none: all pairs
  bool operator==(const TsneConfig&) const = default;
};

inline constexpr double kTsneCutoff = 2.5;          ///< in the unit of the map, where q has fallen to 0.14
inline constexpr std::size_t kTsneWindowNodes = 4;  ///< along each axis that one point's charge is spread over
inline constexpr std::size_t kMostGridNodes = std::size_t{1} << 28;  ///< padded: about 1 GiB of working memory

/// How to compute the repulsion of a map of that many points in a box with those sides: what costs least. Depends on
/// nothing but its arguments, so that a run that is resumed takes the same path. Nothing where wanted is grid and every
/// grid of that box needs more than kMostGridNodes.
std::optional<TsneConfig> choose_tsne_config(std::size_t points, std::size_t dimensions,
                                             const std::array<double, 3>& sides, Repulsion wanted);

}  // namespace lexiscope::cpu
