#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "kernels/cuda/instructions.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/tsne_cells.h"
#include "kernels/cuda/tsne_grid.h"
#include "kernels/cuda/tsne_normalization.h"
#include "kernels/cuda/warp.h"

namespace lexiscope::cuda {
namespace {

constexpr unsigned kThreads = 128;
constexpr unsigned kMostBlocks = 4096;  // of kernels over the whole grid, whose blocks take several rows
constexpr unsigned kLanesPerPoint = kTsneWindowNodes;
constexpr unsigned kWarps = kThreads / kWarpSize;
constexpr float kChargeUnit = 0x1p-30f;  // a window's weights are below a half: they fit 31 bits
// Node where the lowest point lies: its window begins one node before, and rounding may move it a little.
constexpr float kMargin = 2;
// near(s) = max(0, 1 - s / kSplit)^4 / s with s = 1 + r^2: three continuous derivatives at the cutoff.
constexpr double kSplit = 1 + kTsneCutoff * kTsneCutoff;

unsigned blocks_for(std::size_t threads) { return static_cast<unsigned>((threads + kThreads - 1) / kThreads); }

// ---- windows

/// The cubic B-spline, and its derivative.
__device__ float spline(float u) {
  const float a = fmaxf(2 - fabsf(u), 0.0f), b = fmaxf(1 - fabsf(u), 0.0f);
  return a * a * a * (1.0f / 6) - b * b * b * (2.0f / 3);
}
__device__ float spline_slope(float u) {
  const float a = fmaxf(2 - fabsf(u), 0.0f), b = fmaxf(1 - fabsf(u), 0.0f);
  const float slope = 2 * b * b - 0.5f * a * a;
  return u < 0 ? -slope : slope;
}

/// A point in nodes: the first node of its window, and how far the point lies behind the second.
struct Window {
  int first;
  float place;
  __device__ float distance(unsigned node) const { return place + 1 - static_cast<float>(node); }
};

// The difference comes first: it is exact where the map is small and far from 0.
__device__ Window window_of(const TsneGrid& grid, const TsneStatus& status, unsigned axis, float coordinate) {
  const float place = (coordinate - status.low[axis]) * grid.inverse_spacing + kMargin;
  const int cell = static_cast<int>(place);
  return {cell - 1, place - static_cast<float>(cell)};
}

// ---- spreading

// Four lanes a point, each a node along x.
template <unsigned kDimensions>
__global__ void __launch_bounds__(kThreads) spread_kernel(TsneState state, TsneGrid grid) {
  if (!state.status->active) return;
  const unsigned thread = blockIdx.x * kThreads + threadIdx.x, i = thread / kLanesPerPoint;
  if (i >= state.points) return;
  const TsnePoint<kDimensions>* const position = grid.config.method == TsneMethod::near_grid
                                                     ? reinterpret_cast<TsnePoint<kDimensions>*>(grid.cells.sorted)
                                                     : state.positions<kDimensions>();
  const TsnePoint<kDimensions> point = position[i];
  Window windows[3];
#pragma unroll
  for (unsigned c = 0; c < kDimensions; ++c) windows[c] = window_of(grid, *state.status, c, point.at[c]);
  const unsigned lane = thread % kLanesPerPoint;
  const float weight_x = spline(windows[0].distance(lane)) * (1 / kChargeUnit);
  const auto nodes_x = static_cast<std::size_t>(grid.config.nodes[0]);
#pragma unroll
  for (unsigned z = 0; z < (kDimensions == 3 ? kTsneWindowNodes : 1); ++z) {
    const float weight_z = kDimensions == 3 ? weight_x * spline(windows[2].distance(z)) : weight_x;
    const std::size_t plane = kDimensions == 3 ? (windows[2].first + z) * std::size_t(grid.config.nodes[1]) : 0;
#pragma unroll
    for (unsigned y = 0; y < kTsneWindowNodes; ++y) {
      const float weight = weight_z * spline(windows[1].distance(y));
      const std::size_t node = (plane + windows[1].first + y) * nodes_x + windows[0].first + lane;
      atomicAdd(grid.charge + node, static_cast<unsigned long long>(__float2int_rn(weight)));
    }
  }
}

// The charges as floats, each axis padded with zeros to twice its nodes; leaves none behind.
__global__ void __launch_bounds__(kThreads) charge_field_kernel(TsneState state, TsneGrid grid) {
  if (!state.status->active) return;
  const unsigned nodes[3] = {unsigned(grid.config.nodes[0]), unsigned(grid.config.nodes[1]),
                             unsigned(grid.config.nodes[2])};
  for (unsigned row = blockIdx.x; row < grid.rows(); row += gridDim.x) {
    const unsigned y = row % grid.lengths[1], z = row / grid.lengths[1];
    const bool inside = y < nodes[1] && z < nodes[2];
    unsigned long long* const charges = grid.charge + (std::size_t{z} * nodes[1] + y) * nodes[0];
    auto* const field = reinterpret_cast<float2*>(grid.field) + std::size_t{row} * grid.frequencies();
    for (unsigned x = threadIdx.x; x < grid.frequencies(); x += kThreads) {
      float2 pair = make_float2(0, 0);
      if (inside && 2 * x < nodes[0]) {
        auto& charge = reinterpret_cast<ulonglong2*>(charges)[x];
        pair = make_float2(static_cast<float>(charge.x) * kChargeUnit, static_cast<float>(charge.y) * kChargeUnit);
        charge = {0, 0};
      }
      field[x] = pair;
    }
  }
}

__global__ void __launch_bounds__(kThreads) clear_charges_kernel(TsneGrid grid) {
  const std::size_t nodes = std::size_t(grid.config.nodes[0]) * grid.config.nodes[1] * grid.config.nodes[2];
  for (std::size_t k = std::size_t{blockIdx.x} * kThreads + threadIdx.x; k < nodes;
       k += std::size_t{gridDim.x} * kThreads)
    grid.charge[k] = 0;
}

// ---- the kernel's spectrum

/// 1 / (1 + r^2) less its value at r = reach, without cancellation where both are close to 1; less the near part.
__device__ double far_kernel(double squared, double squared_reach, bool near_field) {
  const double s = 1 + squared;
  const double whole = (squared_reach - squared) / (s * (1 + squared_reach));
  if (!near_field || s >= kSplit) return whole;
  const double v = 1 - s / kSplit;
  return whole - v * v * v * v / s;
}

__device__ double squared_nodes(unsigned k, unsigned length) {
  const double nearest = min(k, length - k);  // the kernel is even, and so is its period
  return nearest * nearest;
}

__global__ void __launch_bounds__(kThreads) sample_kernel(TsneGrid grid, double squared_reach) {
  const bool near_field = grid.config.method == TsneMethod::near_grid;
  const double unit = grid.config.spacing * grid.config.spacing;
  for (unsigned row = blockIdx.x; row < grid.rows(); row += gridDim.x) {
    const double row_nodes =
        squared_nodes(row % grid.lengths[1], grid.lengths[1]) + squared_nodes(row / grid.lengths[1], grid.lengths[2]);
    for (unsigned x = threadIdx.x; x < grid.row_floats(); x += kThreads) {
      const double squared = x < grid.lengths[0] ? unit * (squared_nodes(x, grid.lengths[0]) + row_nodes) : 0;
      grid.field[std::size_t{row} * grid.row_floats() + x] =
          static_cast<float>(far_kernel(squared, squared_reach, near_field));
    }
  }
}

// The transform of an even kernel is real.
__global__ void __launch_bounds__(kThreads) spectrum_kernel(TsneGrid grid) {
  const float *const of_y = grid.filters + grid.frequencies(), *const of_z = of_y + grid.lengths[1];
  for (unsigned row = blockIdx.x; row < grid.rows(); row += gridDim.x) {
    const float of_row = of_y[row % grid.lengths[1]] * of_z[row / grid.lengths[1]];
    const std::size_t first = std::size_t{row} * grid.frequencies();
    for (unsigned x = threadIdx.x; x < grid.frequencies(); x += kThreads)
      grid.spectrum[first + x] = grid.field[2 * (first + x)] * (grid.filters[x] * of_row);
  }
}

__global__ void __launch_bounds__(kThreads) multiply_kernel(TsneState state, TsneGrid grid) {
  if (!state.status->active) return;
  const std::size_t count = std::size_t{grid.rows()} * grid.frequencies();
  auto* const field = reinterpret_cast<float2*>(grid.field);
  for (std::size_t k = std::size_t{blockIdx.x} * kThreads + threadIdx.x; k < count;
       k += std::size_t{gridDim.x} * kThreads) {
    const float factor = grid.spectrum[k];
    const float2 value = field[k];
    field[k] = make_float2(value.x * factor, value.y * factor);
  }
}

// ---- reading, and the near field

/// Of one point, or one lane's share of it: the potential, and the force as far as it has been summed.
template <unsigned kDimensions>
struct Field {
  float potential = 0;
  float force[kDimensions] = {};
};

// What the grid gives a point, a lane the nodes of number `lane` along the outermost axis.
template <unsigned kDimensions>
__device__ Field<kDimensions> read_grid(const TsneGrid& grid, const TsneStatus& status,
                                        const TsnePoint<kDimensions>& point, unsigned lane) {
  Window windows[3];
#pragma unroll
  for (unsigned c = 0; c < kDimensions; ++c) windows[c] = window_of(grid, status, c, point.at[c]);
  const Window& outer = windows[kDimensions - 1];
  const float weight = spline(outer.distance(lane)), slope = spline_slope(outer.distance(lane));
  float value = 0, slope_x = 0, slope_y = 0;  // sums over the inner axes
#pragma unroll
  for (unsigned y = 0; y < (kDimensions == 3 ? kTsneWindowNodes : 1); ++y) {
    const std::size_t row = kDimensions == 3
                                ? (windows[2].first + lane) * std::size_t{grid.lengths[1]} + windows[1].first + y
                                : windows[1].first + lane;
    const float* const nodes = grid.field + row * grid.row_floats() + windows[0].first;
    float along = 0, slope_along = 0;
#pragma unroll
    for (unsigned x = 0; x < kTsneWindowNodes; ++x) {
      along = fmaf(nodes[x], spline(windows[0].distance(x)), along);
      slope_along = fmaf(nodes[x], spline_slope(windows[0].distance(x)), slope_along);
    }
    const float weight_y = kDimensions == 3 ? spline(windows[1].distance(y)) : 1.0f;
    value = fmaf(along, weight_y, value);
    slope_x = fmaf(slope_along, weight_y, slope_x);
    if (kDimensions == 3) slope_y = fmaf(along, spline_slope(windows[1].distance(y)), slope_y);
  }
  const float to_force = -0.5f * grid.inverse_spacing;
  Field<kDimensions> field;
  field.potential = value * weight;
  field.force[0] = to_force * slope_x * weight;
  if (kDimensions == 3) field.force[1] = to_force * slope_y * weight;
  field.force[kDimensions - 1] = to_force * value * slope;
  return field;
}

// Adds the near field of every fourth of the sorted points [first, last), from `lane` on.
template <unsigned kDimensions>
__device__ void add_near(const TsnePoint<kDimensions>* sorted, unsigned first, unsigned last, unsigned lane,
                         const TsnePoint<kDimensions>& point, Field<kDimensions>& field) {
  constexpr float kInverseSplit = static_cast<float>(1 / kSplit), kSlope = static_cast<float>(4 / kSplit);
#pragma unroll 1  // runs are short: what an unrolled loop spends around itself is more than it saves
  for (unsigned j = first + lane; j < last; j += kLanesPerPoint) {
    const TsnePoint<kDimensions> other = sorted[j];
    float difference[kDimensions], s = 1;
#pragma unroll
    for (unsigned c = 0; c < kDimensions; ++c) {
      difference[c] = point.at[c] - other.at[c];
      s = fmaf(difference[c], difference[c], s);
    }
    const float q = reciprocal_approx(s), v = fmaxf(0.0f, fmaf(-s, kInverseSplit, 1.0f));
    const float p = v * v * v * q;
    field.potential = fmaf(p, v, field.potential);
    const float pull = p * fmaf(v, q, kSlope);
#pragma unroll
    for (unsigned c = 0; c < kDimensions; ++c) field.force[c] = fmaf(pull, difference[c], field.force[c]);
  }
}

// Adds the near field of the cells around the unit's.
template <unsigned kDimensions>
__device__ void add_near_cells(const TsneCells& cells, unsigned cell, unsigned lane,
                               const TsnePoint<kDimensions>& point, Field<kDimensions>& field) {
  const auto* const sorted = reinterpret_cast<const TsnePoint<kDimensions>*>(cells.sorted);
  const unsigned x = cell % cells.counts[0], row = cell / cells.counts[0];
  const unsigned y = row % cells.counts[1], z = row / cells.counts[1];
  const unsigned first_x = x > 0 ? x - 1 : 0, last_x = min(x + 1, cells.counts[0] - 1);
  for (unsigned cz = z > 0 ? z - 1 : 0; cz <= min(z + 1, cells.counts[2] - 1); ++cz)
    for (unsigned cy = y > 0 ? y - 1 : 0; cy <= min(y + 1, cells.counts[1] - 1); ++cy) {
      const unsigned* const start = cells.start + (cz * cells.counts[1] + cy) * cells.counts[0];
      add_near(sorted, start[first_x], start[last_x + 1], lane, point, field);
    }
}

// The sum over the lanes of a point.
__device__ float point_sum(float value) {
  value += __shfl_xor_sync(kWholeWarp, value, 1);
  return value + __shfl_xor_sync(kWholeWarp, value, 2);
}

struct GatherShared {
  double share[kWarps];
};

// A warp has eight points, of one cell where there is a near field; four lanes have a point.
template <unsigned kDimensions, bool kNear>
__global__ void __launch_bounds__(kThreads) gather_kernel(TsneState state, TsneGrid grid) {
  if (!state.status->active) return;
  const unsigned warp = threadIdx.x / kWarpSize, lane = threadIdx.x % kLanesPerPoint;
  const unsigned unit = blockIdx.x * kWarps + warp, in_unit = threadIdx.x % kWarpSize / kLanesPerPoint;
  unsigned cell = 0, first = unit * kTsneUnitPoints, last = state.points;
  if constexpr (kNear) {
    first = last = 0;
    if (unit < *grid.cells.unit_count) {
      cell = grid.cells.units[unit].cell;
      first = grid.cells.units[unit].first;
      last = grid.cells.start[cell + 1];
    }
  }
  const unsigned at = first + in_unit;
  const bool used = at < last;
  Field<kDimensions> field;
  if (used) {
    const auto* const position =
        kNear ? reinterpret_cast<const TsnePoint<kDimensions>*>(grid.cells.sorted) : state.positions<kDimensions>();
    const TsnePoint<kDimensions> point = position[at];
    field = read_grid(grid, *state.status, point, lane);
    if constexpr (kNear) add_near_cells(grid.cells, cell, lane, point, field);
  }
  TsnePoint<kDimensions> force{};
#pragma unroll
  for (unsigned c = 0; c < kDimensions; ++c) force.at[c] = point_sum(field.force[c]);
  if (used && lane == 0)
    reinterpret_cast<TsnePoint<kDimensions>*>(state.force)[kNear ? grid.cells.order[at] : at] = force;

  auto& shared = shared_memory<GatherShared>();
  double share = warp_sum(static_cast<double>(field.potential));
  if (threadIdx.x % kWarpSize == 0) shared.share[warp] = share;
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (unsigned other = 1; other < kWarps; ++other) share += shared.share[other];
  grid.shares[blockIdx.x] = share;
}

// ---- the host's side

/// Undoes spreading and reading, least squares over the aliases (Hockney and Eastwood's optimal influence function):
/// best where the nodes are far apart.
double influence(double frequency) {
  const auto window = [](double w) { return w == 0 ? 1.0 : std::pow(std::abs(std::sin(w / 2) / (w / 2)), 4); };
  double squares = 0;
  for (int alias = -3; alias <= 3; ++alias) {
    const double w = window(frequency + 2 * std::numbers::pi * alias);
    squares += w * w;
  }
  return window(frequency) * window(frequency) / (squares * squares);
}

/// Makes the grid exact between nodes. It has no kink at the highest frequency, whose wiggles would reach from the
/// kernel's end to its start, where an early map has all its points and forces are small.
double interpolation(double frequency) {
  const double symbol = (2 + std::cos(frequency)) / 3;
  return 1 / (symbol * symbol);
}

double squared_reach(const TsneGrid& grid, unsigned dimensions) {
  double nodes = 0;
  for (unsigned c = 0; c < dimensions; ++c) nodes += double(grid.config.nodes[c]) * grid.config.nodes[c];
  return grid.config.spacing * grid.config.spacing * nodes;
}

unsigned gather_units(const TsneGrid& grid, unsigned points) {
  return grid.config.method == TsneMethod::near_grid ? grid.cells.most_units
                                                     : (points + kTsneUnitPoints - 1) / kTsneUnitPoints;
}

unsigned gather_blocks(const TsneGrid& grid, unsigned points) {
  return (gather_units(grid, points) + kWarps - 1) / kWarps;
}

void require_done(cufftResult status, const char* call) {
  if (status == CUFFT_SUCCESS) return;
  throw Error(ErrorCode::kDevice, std::string(call) + " failed: error " + std::to_string(static_cast<int>(status)));
}

void transform_forward(const TsneGrid& grid, const TsneTransforms& transforms) {
  require_done(cufftExecR2C(transforms.forward, grid.field, reinterpret_cast<cufftComplex*>(grid.field)),
               "cufftExecR2C");
}

void transform_backward(const TsneGrid& grid, const TsneTransforms& transforms) {
  require_done(cufftExecC2R(transforms.backward, reinterpret_cast<cufftComplex*>(grid.field), grid.field),
               "cufftExecC2R");
}

template <unsigned kDimensions>
void gather(const TsneState& state, const TsneGrid& grid, cudaStream_t stream) {
  const bool near = grid.config.method == TsneMethod::near_grid;
  launch(near ? "tsne_gather_near" : "tsne_gather",
         near ? gather_kernel<kDimensions, true> : gather_kernel<kDimensions, false>,
         {.blocks = gather_blocks(grid, state.points), .threads = kThreads, .shared_bytes = sizeof(GatherShared)},
         stream, state, grid);
}

/// Takes arrays of a block of memory one behind the other, each aligned to 256 bytes.
class Cutter {
 public:
  explicit Cutter(void* memory) : memory_(static_cast<std::byte*>(memory)) {}
  template <typename Element>
  Element* cut(std::size_t count) {
    std::byte* const at = memory_ ? memory_ + used_ : nullptr;
    used_ += (count * sizeof(Element) + 255) / 256 * 256;
    return reinterpret_cast<Element*>(at);
  }
  std::size_t used() const { return used_; }

 private:
  std::byte* memory_;
  std::size_t used_ = 0;
};

void cut_cells(Cutter& cutter, unsigned points, unsigned dimensions, TsneGrid& grid) {
  TsneCells& cells = grid.cells;
  for (unsigned c = 0; c < dimensions; ++c)
    cells.counts[c] = static_cast<unsigned>(grid.config.nodes[c] * grid.config.spacing / kTsneCutoff) + 1;
  cells.most_units = points / kTsneUnitPoints + std::min(points, cells.cells());
  cells.occupied = cutter.cut<unsigned>(cells.cells());
  cells.start = cutter.cut<unsigned>(cells.cells() + std::size_t{1});
  cells.totals = cutter.cut<uint2>(tsne_cell_blocks(cells));
  cells.units = cutter.cut<TsneUnit>(cells.most_units);
  cells.unit_count = cutter.cut<unsigned>(1);
  cells.slot = cutter.cut<uint2>(points);
  cells.arrived = cutter.cut<unsigned>(points);
  cells.order = cutter.cut<unsigned>(points);
  cells.sorted = cutter.cut<float>(std::size_t{points} * (dimensions == 2 ? 2 : 4));
}

}  // namespace

TsneGrid cut_tsne_grid(const TsneConfig& config, unsigned points, unsigned dimensions, void* memory,
                       std::size_t& bytes) {
  TsneGrid grid{.config = config, .inverse_spacing = static_cast<float>(1 / config.spacing)};
  std::size_t nodes = 1;
  for (unsigned c = 0; c < dimensions; ++c) {
    grid.lengths[c] = 2 * static_cast<unsigned>(config.nodes[c]);
    nodes *= static_cast<std::size_t>(config.nodes[c]);
  }
  grid.kernel_offset = 1 / (1 + squared_reach(grid, dimensions));
  Cutter cutter(memory);
  grid.charge = cutter.cut<unsigned long long>(nodes);
  grid.field = cutter.cut<float>(std::size_t{grid.rows()} * grid.row_floats());
  grid.spectrum = cutter.cut<float>(std::size_t{grid.rows()} * grid.frequencies());
  grid.filters = cutter.cut<float>(grid.frequencies() + grid.lengths[1] + grid.lengths[2]);
  if (config.method == TsneMethod::near_grid) cut_cells(cutter, points, dimensions, grid);
  grid.shares = cutter.cut<double>(gather_blocks(grid, points));
  bytes = cutter.used();
  return grid;
}

std::vector<float> tsne_grid_filters(const TsneGrid& grid, unsigned dimensions) {
  const auto filter = grid.config.method == TsneMethod::near_grid ? influence : interpolation;
  std::vector<float> filters;
  for (unsigned c = 0; c < 3; ++c)
    for (unsigned k = 0; k < (c == 0 ? grid.frequencies() : grid.lengths[c]); ++k) {
      const unsigned nearest = std::min(k, grid.lengths[c] - k);
      const double value =
          c < dimensions ? filter(2 * std::numbers::pi * nearest / grid.lengths[c]) / grid.lengths[c] : 1;
      filters.push_back(static_cast<float>(value));
    }
  return filters;
}

void prepare_tsne_grid(const TsneGrid& grid, unsigned dimensions, const TsneTransforms& transforms,
                       cudaStream_t stream) {
  const LaunchShape shape{.blocks = std::min(grid.rows(), kMostBlocks), .threads = kThreads};
  launch("tsne_clear_charges", clear_charges_kernel, shape, stream, grid);
  if (grid.config.method == TsneMethod::near_grid) clear_tsne_cells(grid.cells, stream);
  launch("tsne_sample_kernel", sample_kernel, shape, stream, grid, squared_reach(grid, dimensions));
  transform_forward(grid, transforms);
  launch("tsne_spectrum", spectrum_kernel, shape, stream, grid);
}

void tsne_grid_repulsion(const TsneState& state, const TsneGrid& grid, const TsneTransforms& transforms,
                         cudaStream_t stream) {
  const bool flat = state.dimensions == 2;
  const LaunchShape whole{.blocks = std::min(grid.rows(), kMostBlocks), .threads = kThreads};
  if (grid.config.method == TsneMethod::near_grid) sort_tsne_cells(state, grid.cells, stream);
  launch("tsne_spread", flat ? spread_kernel<2> : spread_kernel<3>,
         {.blocks = blocks_for(std::size_t{state.points} * kLanesPerPoint), .threads = kThreads}, stream, state, grid);
  launch("tsne_charge_field", charge_field_kernel, whole, stream, state, grid);
  transform_forward(grid, transforms);
  launch("tsne_multiply", multiply_kernel, whole, stream, state, grid);
  transform_backward(grid, transforms);
  (flat ? gather<2> : gather<3>)(state, grid, stream);
  const double n = state.points;
  // A point's own kernel is 1.
  tsne_normalization(state, {grid.shares, gather_blocks(grid, state.points)}, grid.kernel_offset * n * n - n, stream);
}

}  // namespace lexiscope::cuda
