// The choice between all pairs, a fine grid, and a coarse grid with a near field, from estimates of what each costs. A
// device makes it, so that iterations need no host: one that finds the map to have outgrown its grid waits for another.
#pragma once

#include <cmath>

#include "lexiscope/ops/tsne_gradient.h"
#include "simt/cuda.h"

namespace lexiscope::cuda {

enum class TsneMethod : unsigned char {
  exact,      ///< all pairs
  grid,       ///< a grid fine enough for all of the kernel
  near_grid,  ///< a coarse one, with pairs closer than kTsneCutoff corrected one by one
  none        ///< no grid of this map fits
};

struct TsneConfig {
  TsneMethod method = TsneMethod::none;
  int nodes[3] = {1, 1, 1};  ///< of the grid along x, y, z; transforms are twice as long along each used axis
  double spacing = 1;        ///< of the nodes, in the unit of the map

  /// Whether a grid's arrays are the same as the other's.
  __host__ __device__ bool has_layout_of(const TsneConfig& other) const {
    return method == other.method && nodes[0] == other.nodes[0] && nodes[1] == other.nodes[1] &&
           nodes[2] == other.nodes[2];
  }
  __host__ __device__ bool operator==(const TsneConfig& other) const {
    return has_layout_of(other) && spacing == other.spacing;
  }
};

inline constexpr double kTsneCutoff = 2.5;         ///< in the unit of the map, where q has fallen to 0.14
inline constexpr int kTsneWindowNodes = 4;         ///< along each axis that one point's charge is spread over
inline constexpr double kMostGridNodes = 1 << 28;  ///< padded: about 3 GiB of working memory

namespace detail {

// Spacings at which the force errs by less than 5e-3 on maps of every phase (tests/tsne_grid_test.cpp measures it), and
// into how many intervals the longest side is cut at least: early maps are narrow cores with a few points far out.
struct TsneGridRules {
  double coarse, fine;
  int fewest_intervals;
};
__host__ __device__ constexpr TsneGridRules tsne_grid_rules(unsigned dimensions) {
  return dimensions == 2 ? TsneGridRules{2.0 / 3, 0.25, 160} : TsneGridRules{0.55, 0.25, 80};
}

constexpr double kRootOfTwo = 1.4142135623730951;  // small spacings are its powers: a growing map seldom takes another

// Nanoseconds on an H100, as modelled (docs/gpu_performance.md), of which only the ratios matter.
struct TsneCosts {
  double pair;        // exact, one of N^2
  double grid;        // the launches of a grid's kernels
  double point;       // spread, gather
  double node;        // of the padded grid: transforms
  double near_point;  // a point at a density of one point per unit of area or volume: sort, near field
};
__host__ __device__ constexpr TsneCosts tsne_costs(unsigned dimensions) {
  return dimensions == 2 ? TsneCosts{2.1e-4, 2e4, 0.2, 0.02, 0.2} : TsneCosts{3.5e-4, 2e4, 0.8, 0.03, 0.6};
}

// Nodes along an axis, {4, 5, 6, 7} 2^k: transforms of such lengths are fast, and a growing map seldom takes another.
__host__ __device__ inline int tsne_grid_nodes(double needed) {
  for (int unit = 4;; unit *= 2)
    for (int quarter = 4; quarter < 8; ++quarter)
      if (unit * quarter >= needed) return unit * quarter;
}

/// Of sides that are no shorter than `shortest`. method is none where the grid has too many nodes.
__host__ __device__ inline TsneConfig tsne_grid_over(unsigned dimensions, const double* sides, double shortest,
                                                     double spacing, bool near_field) {
  TsneConfig config{.method = near_field ? TsneMethod::near_grid : TsneMethod::grid, .spacing = spacing};
  double padded = 1;
  for (unsigned axis = 0; axis < dimensions; ++axis) {
    const double side = sides[axis] < shortest ? shortest : sides[axis];
    const double needed = ceil(side / spacing) + kTsneWindowNodes + 2;
    if (!(2 * needed <= kMostGridNodes)) return {};  // a NaN too
    config.nodes[axis] = tsne_grid_nodes(needed);
    padded *= 2.0 * config.nodes[axis];
  }
  return padded <= kMostGridNodes ? config : TsneConfig{};
}

__host__ __device__ inline double tsne_fine_spacing(unsigned dimensions, double longest_side) {
  constexpr int kLowestExponent = -40;  // the map is a single point as far as f32 can tell
  const TsneGridRules rules = tsne_grid_rules(dimensions);
  const double spacing = longest_side / rules.fewest_intervals;
  if (!(spacing < rules.fine)) return rules.fine;
  const int exponent = spacing > 0 ? ilogb(spacing) : kLowestExponent;
  const double power = ldexp(1.0, exponent > kLowestExponent ? exponent : kLowestExponent);
  return power * kRootOfTwo <= spacing ? power * kRootOfTwo : power;
}

}  // namespace detail

/// How to compute the repulsion of a map of that many points in a box with those sides: what costs least. Depends on
/// nothing but its arguments, so that a run that is resumed takes the same path.
__host__ __device__ inline TsneConfig choose_tsne_config(unsigned points, unsigned dimensions, const double (&sides)[3],
                                                         Repulsion wanted) {
  const detail::TsneCosts costs = detail::tsne_costs(dimensions);
  const double n = points;
  double longest = 0, volume = 1;
  for (unsigned axis = 0; axis < dimensions; ++axis) {
    longest = fmax(longest, sides[axis]);
    volume *= fmax(sides[axis], kTsneCutoff);
  }
  TsneConfig best{};
  double least = HUGE_VAL;
  if (wanted != Repulsion::grid) {
    best.method = TsneMethod::exact;
    least = n * n * costs.pair;
  }
  if (wanted == Repulsion::exact) return best;
  for (int choice = 0; choice < 2; ++choice) {
    const bool near_field = choice == 1;
    if (near_field && longest < 2 * kTsneCutoff) continue;  // all pairs are near: a coarse grid would gain nothing
    const detail::TsneGridRules rules = detail::tsne_grid_rules(dimensions);
    const double spacing = near_field ? rules.coarse : detail::tsne_fine_spacing(dimensions, longest);
    // As long as the spacing grows with the map, every grid has the nodes of the largest that it is for.
    const double shortest =
        spacing < rules.fine && longest > 0 ? spacing * rules.fewest_intervals * detail::kRootOfTwo : 0;
    const TsneConfig grid = detail::tsne_grid_over(dimensions, sides, shortest, spacing, near_field);
    if (grid.method == TsneMethod::none) continue;
    double nodes = 1;
    for (unsigned axis = 0; axis < dimensions; ++axis) nodes *= 2.0 * grid.nodes[axis];
    const double near = near_field ? costs.near_point * n / volume : 0;
    const double cost = costs.grid + n * (costs.point + near) + nodes * costs.node;
    if (cost < least) {
      least = cost;
      best = grid;
    }
  }
  return best;
}

}  // namespace lexiscope::cuda
