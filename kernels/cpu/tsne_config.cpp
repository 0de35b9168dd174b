// The choice between all pairs, a fine grid, and a coarse grid with a near field, from estimates of what each costs.
#include "kernels/cpu/tsne_config.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace lexiscope::cpu {
namespace {

// Spacings at which the force errs by less than 5e-3 on maps of every phase (tsne_grid_test measures it).
constexpr double kCoarseSpacing[2] = {2.0 / 3, 0.55};  // with a near field; 2-D, 3-D
constexpr double kFineSpacing = 0.25;                  // without
// Early maps are narrow cores, with a few points thrown far out: cells no longer than this share of the longest side
// resolve the cores. In 3-D more would cost more than all pairs of 30,000 points.
constexpr int kFewestIntervals[2] = {160, 80};  // 2-D, 3-D
constexpr int kLowestExponent = -40;            // of the spacing: the map is a single point as far as f32 can tell

// Nanoseconds on one core of a Zen 4 with AVX-512, of which only the ratios matter.
struct Costs {
  double pair;        // exact, one of N^2
  double point;       // sort, spread, gather
  double node;        // of the padded grid: transforms
  double near_point;  // a point at a density of one point per unit of area or volume
};
constexpr Costs kCosts2d{0.09, 25, 2, 60};
constexpr Costs kCosts3d{0.13, 120, 4, 400};

double padded_nodes(const GridShape& shape) {
  double count = 1;
  for (std::size_t axis = 0; axis < shape.dimensions; ++axis) count *= 2.0 * shape.nodes[axis];
  return count;
}

// A grid of that spacing over the box, or none where it has too many nodes.
std::optional<TsneGridConfig> grid_over(std::size_t dimensions, const std::array<double, 3>& sides, double spacing,
                                        bool near_field) {
  TsneGridConfig grid{.shape = {.dimensions = dimensions}, .spacing = spacing, .near_field = near_field};
  for (std::size_t axis = 0; axis < dimensions; ++axis) {
    const double needed = std::ceil(sides[axis] / spacing) + kTsneWindowNodes + 2;
    if (2 * needed > static_cast<double>(kMostGridNodes)) return {};
    grid.shape.nodes[axis] = fft_length(2 * static_cast<int>(needed)) / 2;
  }
  if (padded_nodes(grid.shape) > static_cast<double>(kMostGridNodes)) return {};
  return grid;
}

double fine_spacing(std::size_t dimensions, double longest_side) {
  const double spacing = longest_side / kFewestIntervals[dimensions - 2];
  if (spacing >= kFineSpacing) return kFineSpacing;
  const int exponent = spacing > 0 ? std::ilogb(spacing) : kLowestExponent;
  return std::ldexp(1.0, std::max(exponent, kLowestExponent));  // powers of two: the kernel is rebuilt rarely
}

}  // namespace

std::optional<TsneConfig> choose_tsne_config(std::size_t points, std::size_t dimensions,
                                             const std::array<double, 3>& sides, Repulsion wanted) {
  const Costs& costs = dimensions == 2 ? kCosts2d : kCosts3d;
  const auto n = static_cast<double>(points);
  double longest = 0, volume = 1;
  for (std::size_t axis = 0; axis < dimensions; ++axis) {
    longest = std::max(longest, sides[axis]);
    volume *= std::max(sides[axis], kTsneCutoff);
  }

  std::optional<TsneConfig> best;
  double least = std::numeric_limits<double>::infinity();
  const auto consider = [&](const TsneConfig& config, double cost) {
    if (cost < least) {
      least = cost;
      best = config;
    }
  };
  if (wanted != Repulsion::grid) consider({}, n * n * costs.pair);
  if (wanted == Repulsion::exact) return best;
  for (const bool near_field : {false, true}) {
    const double spacing = near_field ? kCoarseSpacing[dimensions - 2] : fine_spacing(dimensions, longest);
    const auto grid = grid_over(dimensions, sides, spacing, near_field);
    if (!grid) continue;
    const double near = near_field ? costs.near_point * n / volume : 0;
    consider({grid}, n * (costs.point + near) + padded_nodes(grid->shape) * costs.node);
  }
  return best;
}

}  // namespace lexiscope::cpu
