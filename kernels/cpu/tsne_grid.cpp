// Repulsion by a charge grid: every point spreads a unit charge over the nodes around it by a cubic B-spline, the grid
// is convolved with the kernel K = 1 / (1 + r^2), and the potential and its gradient are read back through the same
// spline and its derivative. Where the grid is too coarse for close pairs, K is split at a cutoff into a compact near
// part, summed over pairs in nearby cells, and a smooth far part (particle-particle particle-mesh; Hockney and Eastwood
// 1988, chapter 8). The spectrum is divided by what spreading and reading do to each frequency, aliases included.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/tsne_grid.cpp"
#include "kernels/cpu/tsne_grid.h"

#include <hwy/foreach_target.h>  // must precede highway.h
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/cpu/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lexiscope::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::ScalableTag<float>;
using FloatVector = hn::Vec<FloatTag>;
using WindowTag = hn::CappedTag<float, kTsneWindowNodes>;  // one vector, or four of one lane on the scalar target
using WindowVector = hn::Vec<WindowTag>;

constexpr std::size_t kWindow = kTsneWindowNodes;
constexpr std::size_t kWindowLanes = hn::MaxLanes(WindowTag());
constexpr std::size_t kWindowVectors = kWindow / kWindowLanes;

// Coefficients of the four pieces of the cubic B-spline under a point, by power of the point's place t in its cell.
HWY_ALIGN constexpr float kSpline[4][kWindow] = {
    {1.0f / 6, 4.0f / 6, 1.0f / 6, 0}, {-0.5f, 0, 0.5f, 0}, {0.5f, -1, 0.5f, 0}, {-1.0f / 6, 0.5f, -0.5f, 1.0f / 6}};

// Weights of the nodes of one axis, and their derivatives by t.
struct Window {
  HWY_ALIGN float weight[kWindow];
  HWY_ALIGN float slope[kWindow];
};

HWY_INLINE void set_window(float t, Window& window) {
  const WindowTag d;
  const auto place = hn::Set(d, t), two = hn::Set(d, 2.0f), three = hn::Set(d, 3.0f);
  for (std::size_t l = 0; l < kWindow; l += kWindowLanes) {
    const auto c0 = hn::Load(d, kSpline[0] + l), c1 = hn::Load(d, kSpline[1] + l);
    const auto c2 = hn::Load(d, kSpline[2] + l), c3 = hn::Load(d, kSpline[3] + l);
    hn::Store(hn::MulAdd(hn::MulAdd(hn::MulAdd(c3, place, c2), place, c1), place, c0), d, window.weight + l);
    hn::Store(hn::MulAdd(hn::MulAdd(hn::Mul(three, c3), place, hn::Mul(two, c2)), place, c1), d, window.slope + l);
  }
}

// The first node under sorted point o, as an offset into the grid; sets the windows of all axes.
template <std::size_t kDimensions>
HWY_INLINE std::size_t find_windows(const TsneGrid& grid, const GridPlacement& placement, std::size_t o,
                                    Window* windows) {
  const std::size_t steps[3] = {1, grid.convolution.stride, grid.convolution.plane()};
  std::size_t node = 0;
  for (std::size_t c = 0; c < kDimensions; ++c) {
    const float place = grid_place(placement, c, grid.position[c][o]);
    const int cell = static_cast<int>(place);
    set_window(place - static_cast<float>(cell), windows[c]);
    node += static_cast<std::size_t>(cell - 1) * steps[c];
  }
  return node;
}

template <std::size_t kDimensions>
void spread_points(const TsneGrid& grid, const GridPlacement& placement, std::size_t first, std::size_t last) {
  const WindowTag d;
  for (std::size_t o = first; o < last; ++o) {
    Window windows[kDimensions];
    float* corner = grid.convolution.grid + find_windows<kDimensions>(grid, placement, o, windows);
    for (std::size_t z = 0; z < (kDimensions == 3 ? kWindow : 1); ++z)
      for (std::size_t y = 0; y < kWindow; ++y) {
        const float outer = kDimensions == 3 ? windows[kDimensions - 1].weight[z] : 1.0f;
        const auto weight = hn::Set(d, windows[1].weight[y] * outer);
        float* row = corner + z * grid.convolution.plane() + y * grid.convolution.stride;
        for (std::size_t l = 0; l < kWindow; l += kWindowLanes)
          hn::StoreU(hn::MulAdd(hn::Load(d, windows[0].weight + l), weight, hn::LoadU(d, row + l)), d, row + l);
      }
  }
}

// The potential at a point, and minus half of its gradient, which is the force.
template <std::size_t kDimensions>
struct Field {
  float potential;
  float force[kDimensions];
};

template <std::size_t kDimensions>
HWY_INLINE Field<kDimensions> gather_point(const TsneGrid& grid, const GridPlacement& placement, std::size_t o) {
  const WindowTag d;
  Window windows[kDimensions];
  const float* corner = grid.convolution.grid + find_windows<kDimensions>(grid, placement, o, windows);
  WindowVector sums[kDimensions][kWindowVectors];  // [0] over the outer weights, [c] with axis c's slope
  for (auto& sum : sums)
    for (auto& part : sum) part = hn::Zero(d);
  for (std::size_t z = 0; z < (kDimensions == 3 ? kWindow : 1); ++z)
    for (std::size_t y = 0; y < kWindow; ++y) {
      const float* row = corner + z * grid.convolution.plane() + y * grid.convolution.stride;
      const Window& outer = windows[kDimensions - 1];
      const float z_weight = kDimensions == 3 ? outer.weight[z] : 1.0f;
      for (std::size_t part = 0; part < kWindowVectors; ++part) {
        const auto value = hn::LoadU(d, row + part * kWindowLanes);
        const auto add = [&](std::size_t c, float weight) {
          sums[c][part] = hn::MulAdd(value, hn::Set(d, weight), sums[c][part]);
        };
        add(0, windows[1].weight[y] * z_weight);
        add(1, windows[1].slope[y] * z_weight);
        if constexpr (kDimensions == 3) add(2, windows[1].weight[y] * outer.slope[z]);
      }
    }
  const auto along_x = [&](std::size_t c, const float* weights) {
    auto sum = hn::Zero(d);
    for (std::size_t part = 0; part < kWindowVectors; ++part)
      sum = hn::MulAdd(sums[c][part], hn::Load(d, weights + part * kWindowLanes), sum);
    return hn::GetLane(hn::SumOfLanes(d, sum));
  };
  const float to_force = -0.5f * placement.inverse_spacing;
  Field<kDimensions> field;
  field.potential = along_x(0, windows[0].weight);
  field.force[0] = to_force * along_x(0, windows[0].slope);
  for (std::size_t c = 1; c < kDimensions; ++c) field.force[c] = to_force * along_x(c, windows[0].weight);
  return field;
}

// Points [first, first + count) of the sorted map, one a lane: what the near field sums for them.
template <std::size_t kDimensions>
struct NearBatch {
  FloatVector position[kDimensions], force[kDimensions], potential;
  std::array<float, 3> low{}, high{};  // the box around them

  NearBatch(const TsneGrid& grid, std::size_t first, std::size_t count) {
    const FloatTag d;
    for (std::size_t c = 0; c < kDimensions; ++c) {
      HWY_ALIGN float lanes[kMostLanes];
      std::fill_n(lanes, kMostLanes, 100 * kTsneFarthest);  // beyond every cutoff
      std::copy_n(grid.position[c] + first, count, lanes);
      low[c] = *std::min_element(lanes, lanes + count);
      high[c] = *std::max_element(lanes, lanes + count);
      position[c] = hn::Load(d, lanes);
      force[c] = hn::Zero(d);
    }
    potential = hn::Zero(d);
  }

  // Adds the near field of sorted points [first, last).
  HWY_INLINE void add(const TsneGrid& grid, std::size_t first, std::size_t last) {
    const FloatTag d;
    const auto one = hn::Set(d, 1.0f), inverse_split = hn::Set(d, static_cast<float>(1 / kSplit));
    const auto slope = hn::Set(d, static_cast<float>(4 / kSplit));
    for (std::size_t j = first; j < last; ++j) {
      FloatVector difference[kDimensions];
      auto s = one;
      for (std::size_t c = 0; c < kDimensions; ++c) {
        difference[c] = hn::Sub(position[c], hn::Set(d, grid.position[c][j]));
        s = hn::MulAdd(difference[c], difference[c], s);
      }
      const auto q = hn::ApproximateReciprocal(s);  // its error is far below the grid's
      const auto v = hn::Max(hn::Zero(d), hn::NegMulAdd(s, inverse_split, one));
      const auto p = hn::Mul(hn::Mul(hn::Mul(v, v), v), q);
      potential = hn::MulAdd(p, v, potential);
      const auto pull = hn::Mul(p, hn::MulAdd(v, q, slope));
      for (std::size_t c = 0; c < kDimensions; ++c) force[c] = hn::MulAdd(pull, difference[c], force[c]);
    }
  }
};

// How far the interval of cell `cell` (of `size`, from `origin`) lies from [low, high].
HWY_INLINE float gap(float origin, float size, std::size_t cell, float low, float high) {
  const float start = origin + static_cast<float>(cell) * size;
  return std::max({0.0f, start - high, low - (start + size)});
}

// Adds to the batch all points of the cells within the cutoff of its box.
template <std::size_t kDimensions>
void add_near_field(const TsneGrid& grid, const GridPlacement& placement, std::size_t pencil,
                    NearBatch<kDimensions>& batch) {
  constexpr float kCutoff = static_cast<float>(kTsneCutoff);
  const auto spacing = static_cast<float>(grid.config.spacing);
  const float strip = spacing * static_cast<float>(grid.strip_nodes());
  const auto reach = static_cast<std::size_t>(std::ceil(kCutoff / strip));
  const std::size_t y = pencil % grid.cells[1], z = pencil / grid.cells[1];
  const auto origin = [&](std::size_t axis) { return placement.low[axis] - kGridMargin * spacing; };
  const auto first_of = [&](std::size_t cell) { return cell > reach ? cell - reach : 0; };
  for (std::size_t cz = first_of(z); cz < std::min(z + reach + 1, grid.cells[2]); ++cz)
    for (std::size_t cy = first_of(y); cy < std::min(y + reach + 1, grid.cells[1]); ++cy) {
      const float gap_y = gap(origin(1), strip, cy, batch.low[1], batch.high[1]);
      const float gap_z = kDimensions == 3 ? gap(origin(2), strip, cz, batch.low[2], batch.high[2]) : 0.0f;
      const float left = kCutoff * kCutoff - gap_y * gap_y - gap_z * gap_z;
      if (left <= 0) continue;
      const float reach_x = std::sqrt(left);
      const float scale = placement.inverse_spacing / static_cast<float>(grid.cell_nodes());
      const float from = (batch.low[0] - reach_x - origin(0)) * scale;
      const float to = (batch.high[0] + reach_x - origin(0)) * scale;
      const auto first = from > 0 ? static_cast<std::size_t>(from) : 0;
      const std::size_t last = std::min(static_cast<std::size_t>(to), grid.cells[0] - 1);
      const std::int32_t* start = grid.cell_start + (cz * grid.cells[1] + cy) * grid.cells[0];
      batch.add(grid, static_cast<std::size_t>(start[first]), static_cast<std::size_t>(start[last + 1]));
    }
}

// Forces of the points of one pencil of cells; returns the sum of their potentials.
template <std::size_t kDimensions>
double repel_pencil(const TsneState& state, const TsneGrid& grid, const GridPlacement& placement, std::size_t pencil) {
  const FloatTag d;
  const auto first = static_cast<std::size_t>(grid.cell_start[pencil * grid.cells[0]]);
  const auto last = static_cast<std::size_t>(grid.cell_start[(pencil + 1) * grid.cells[0]]);
  double potential_sum = 0;
  for (std::size_t at = first; at < last; at += kMostLanes) {
    const std::size_t count = std::min(kMostLanes, last - at);
    HWY_ALIGN float near_force[kDimensions][kMostLanes] = {}, near_potential[kMostLanes] = {};
    if (grid.config.near_field) {
      NearBatch<kDimensions> batch(grid, at, count);
      add_near_field(grid, placement, pencil, batch);
      for (std::size_t c = 0; c < kDimensions; ++c) hn::Store(batch.force[c], d, near_force[c]);
      hn::Store(batch.potential, d, near_potential);
    }
    for (std::size_t r = 0; r < count; ++r) {
      const auto field = gather_point<kDimensions>(grid, placement, at + r);
      const auto point = static_cast<std::size_t>(grid.order[at + r]);
      for (std::size_t c = 0; c < kDimensions; ++c) state.force[c][point] = field.force[c] + near_force[c][r];
      potential_sum += double(field.potential) + double(near_potential[r]);
    }
  }
  return potential_sum;
}

void spread_2d(const TsneGrid& grid, const GridPlacement& placement, std::size_t first, std::size_t last) {
  spread_points<2>(grid, placement, first, last);
}
void spread_3d(const TsneGrid& grid, const GridPlacement& placement, std::size_t first, std::size_t last) {
  spread_points<3>(grid, placement, first, last);
}
double repel_2d(const TsneState& state, const TsneGrid& grid, const GridPlacement& placement, std::size_t pencil) {
  return repel_pencil<2>(state, grid, placement, pencil);
}
double repel_3d(const TsneState& state, const TsneGrid& grid, const GridPlacement& placement, std::size_t pencil) {
  return repel_pencil<3>(state, grid, placement, pencil);
}

}  // namespace lexiscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lexiscope::cpu {
namespace {

constexpr std::size_t kSlabNodes = 8;  // rows a thread spreads into at once: twice what a window reaches beyond them

GridPlacement place_grid(const TsneGrid& grid, const TsneExtents& extents) {
  GridPlacement placement;
  placement.inverse_spacing = static_cast<float>(1 / grid.config.spacing);
  for (std::size_t c = 0; c < grid.config.shape.dimensions; ++c) placement.low[c] = extents.low[c];
  return placement;
}

// Sorts the points by cell, cells of one pencil (along x) side by side. Points of a cell keep their order.
void sort_points(const TsneState& state, const TsneGrid& grid, const GridPlacement& placement) {
  const std::size_t n = state.points, cells = grid.pencils() * grid.cells[0];
  for (std::size_t i = 0; i < n; ++i) {
    std::size_t cell = 0;
    for (std::size_t c = state.dimensions; c-- > 0;) {
      const auto node = static_cast<std::size_t>(grid_place(placement, c, state.position[c][i]));
      cell = cell * grid.cells[c] + node / (c == 0 ? grid.cell_nodes() : grid.strip_nodes());
    }
    grid.key[i] = static_cast<std::int32_t>(cell);
  }
  std::fill_n(grid.cell_start, cells + 2, 0);
  for (std::size_t i = 0; i < n; ++i) ++grid.cell_start[grid.key[i] + 2];
  for (std::size_t cell = 2; cell < cells + 2; ++cell) grid.cell_start[cell] += grid.cell_start[cell - 1];
  for (std::size_t i = 0; i < n; ++i) {  // moves each start to where it belongs: one cell up
    const std::int32_t at = grid.cell_start[grid.key[i] + 1]++;
    grid.order[at] = static_cast<std::int32_t>(i);
    for (std::size_t c = 0; c < state.dimensions; ++c) grid.position[c][at] = state.position[c][i];
  }
}

// 1 / (1 + r^2) less its value at r = reach, without cancellation where both are close to 1; less the near part.
double far_kernel(double squared, double squared_reach, bool near_field) {
  const double s = 1 + squared;
  const double whole = (squared_reach - squared) / (s * (1 + squared_reach));
  return near_field && s < kSplit ? whole - std::pow(1 - s / kSplit, 4) / s : whole;
}

// The factor that undoes spreading and reading, least squares over the aliases (Hockney and Eastwood's optimal
// influence function): best where the nodes are far apart.
double influence(double frequency) {
  const auto window = [](double w) { return w == 0 ? 1.0 : std::pow(std::abs(std::sin(w / 2) / (w / 2)), 4); };
  double squares = 0;
  for (int alias = -3; alias <= 3; ++alias) {
    const double w = window(frequency + 2 * std::numbers::pi * alias);
    squares += w * w;
  }
  return window(frequency) * window(frequency) / (squares * squares);
}

// The factor that makes the grid exact between nodes. It has no kink at the highest frequency, whose wiggles would
// reach from the kernel's end to its start, where an early map has all its points and forces are small.
double interpolation(double frequency) {
  const double symbol = (2 + std::cos(frequency)) / 3;
  return 1 / (symbol * symbol);
}

}  // namespace

HWY_EXPORT(spread_2d);
HWY_EXPORT(spread_3d);
HWY_EXPORT(repel_2d);
HWY_EXPORT(repel_3d);

TsneGrid cut_tsne_grid(WorkspaceCutter& cutter, const TsneGridConfig& config, std::size_t points, int threads) {
  TsneGrid grid;
  grid.config = config;
  grid.convolution = cut_grid_convolution(cutter, config.shape, threads);
  const auto cells_of = [&](std::size_t axis, std::size_t nodes) {
    return axis < config.shape.dimensions ? static_cast<std::size_t>(config.shape.nodes[axis]) / nodes + 1 : 1;
  };
  grid.cells = {cells_of(0, grid.cell_nodes()), cells_of(1, grid.strip_nodes()), cells_of(2, grid.strip_nodes())};
  for (std::size_t c = 0; c < config.shape.dimensions; ++c) grid.position[c] = cutter.cut<float>(points);
  grid.order = cutter.cut<std::int32_t>(points);
  grid.key = cutter.cut<std::int32_t>(points);
  grid.cell_start = cutter.cut<std::int32_t>(grid.pencils() * grid.cells[0] + 2);
  grid.potential_sums = cutter.cut<double>(grid.pencils());
  return grid;
}

void prepare_tsne_grid(TsneGrid& grid, const Context& context) {
  const GridShape& shape = grid.config.shape;
  const double squared_spacing = grid.config.spacing * grid.config.spacing;
  double reach = 0;
  for (std::size_t c = 0; c < shape.dimensions; ++c) reach += squared_spacing * shape.nodes[c] * shape.nodes[c];
  grid.kernel_offset = 1 / (1 + reach);
  const auto sample = [&](int x, int y, int z) {
    return far_kernel(squared_spacing * (double(x) * x + double(y) * y + double(z) * z), reach, grid.config.near_field);
  };
  set_grid_kernel(grid.convolution, sample, grid.config.near_field ? influence : interpolation, context);
}

double tsne_grid_repulsion(const TsneState& state, const TsneExtents& extents, const TsneGrid& grid,
                           const Context& context) {
  const bool deep = state.dimensions == 3;
  const auto spread = deep ? HWY_DYNAMIC_DISPATCH(spread_3d) : HWY_DYNAMIC_DISPATCH(spread_2d);
  const auto repel = deep ? HWY_DYNAMIC_DISPATCH(repel_3d) : HWY_DYNAMIC_DISPATCH(repel_2d);
  const GridPlacement placement = place_grid(grid, extents);
  sort_points(state, grid, placement);
  std::fill_n(grid.convolution.grid, grid.convolution.grid_floats(), 0.0f);

  const std::size_t outer = state.dimensions - 1, outer_pencils = grid.pencils() / grid.cells[outer];
  const std::size_t slab = kSlabNodes / grid.strip_nodes();  // in cells of the outermost axis
  for (std::size_t parity = 0; parity < 2; ++parity) {       // two slabs of one parity share no node
#pragma omp parallel for schedule(dynamic, 1) num_threads(context.threads)
    for (std::size_t first = parity * slab; first < grid.cells[outer]; first += 2 * slab) {
      const std::size_t last = std::min(first + slab, grid.cells[outer]);
      const auto start_of = [&](std::size_t cell) {
        return static_cast<std::size_t>(grid.cell_start[cell * outer_pencils * grid.cells[0]]);
      };
      spread(grid, placement, start_of(first), start_of(last));
    }
  }
  convolve_grid(grid.convolution, context);
#pragma omp parallel for schedule(dynamic, 4) num_threads(context.threads)
  for (std::size_t pencil = 0; pencil < grid.pencils(); ++pencil)
    grid.potential_sums[pencil] = repel(state, grid, placement, pencil);

  double potential = 0;
  for (std::size_t pencil = 0; pencil < grid.pencils(); ++pencil) potential += grid.potential_sums[pencil];
  const auto n = static_cast<double>(state.points);
  return potential + grid.kernel_offset * n * n - n;  // a point's own kernel is 1
}

}  // namespace lexiscope::cpu
#endif
