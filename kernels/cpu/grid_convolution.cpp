// The transform along the outermost axis takes the grid's own rows as lanes, two of them as one complex transform;
// the others follow plane by plane, where one transposition in registers turns frequencies into lanes. Between
// forward and backward transforms the kernel's spectrum, real since the kernel is even, multiplies in cache.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/grid_convolution.cpp"
#include "kernels/cpu/grid_convolution.h"

#include <hwy/foreach_target.h>  // must precede highway.h
#include <hwy/highway.h>
#include <omp.h>

#include <algorithm>
#include <numbers>

#include "kernels/cpu/fft-inl.h"
#include "kernels/cpu/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lexiscope::cpu::HWY_NAMESPACE {

// The four arrays that one batch of transforms of `length` works in.
struct Batch {
  float *re, *im, *other_re, *other_im;
  Batch(float* scratch, int length) {
    const std::size_t size = static_cast<std::size_t>(length) * hn::Lanes(FloatTag());
    re = scratch;
    im = re + size;
    other_re = im + size;
    other_im = other_re + size;
  }
};

// One vector of columns of `count` rows, from a grid or plane (rows `step` floats apart) to a batch and back.
void load_columns(const float* rows, std::size_t step, std::size_t count, float* batch) {
  const FloatTag d;
  for (std::size_t k = 0; k < count; ++k) hn::Store(hn::Load(d, rows + k * step), d, batch + k * hn::Lanes(d));
}

void store_columns(const float* batch, std::size_t step, std::size_t count, float* rows) {
  const FloatTag d;
  for (std::size_t k = 0; k < count; ++k) hn::Store(hn::Load(d, batch + k * hn::Lanes(d)), d, rows + k * step);
}

// Columns [column, column + 2 lanes) of the grid, along the outermost axis: forward, into half_re and half_im.
void transform_columns(const GridConvolution& g, std::size_t column, float* scratch) {
  const FloatTag d;
  const std::size_t lanes = hn::Lanes(d), plane = g.plane(), outer = g.shape.dimensions - 1;
  const auto nodes = static_cast<std::size_t>(g.shape.nodes[outer]);
  const Batch batch(scratch, g.plans[outer].length);
  load_columns(g.grid + column, plane, nodes, batch.re);
  load_columns(g.grid + column + lanes, plane, nodes, batch.im);
  const auto [re, im] = run_fft<FftHalf::input>(g.plans[outer], batch.re, batch.im, batch.other_re, batch.other_im);
  const auto half = hn::Set(d, 0.5f);
  for (std::size_t k = 0; k <= nodes; ++k) {  // z = a + i b with a, b real: z[k] and z[-k] hold both spectra
    const std::size_t mirror = k == 0 ? 0 : 2 * nodes - k, to = k * plane + column;
    const auto zr = hn::Load(d, re + k * lanes), zi = hn::Load(d, im + k * lanes);
    const auto mr = hn::Load(d, re + mirror * lanes), mi = hn::Load(d, im + mirror * lanes);
    hn::Store(hn::Mul(half, hn::Add(zr, mr)), d, g.half_re + to);
    hn::Store(hn::Mul(half, hn::Sub(zi, mi)), d, g.half_im + to);
    hn::Store(hn::Mul(half, hn::Add(zi, mi)), d, g.half_re + to + lanes);
    hn::Store(hn::Mul(half, hn::Sub(mr, zr)), d, g.half_im + to + lanes);
  }
}

// The inverse of transform_columns.
void restore_columns(const GridConvolution& g, std::size_t column, float* scratch) {
  const FloatTag d;
  const std::size_t lanes = hn::Lanes(d), plane = g.plane(), outer = g.shape.dimensions - 1;
  const auto nodes = static_cast<std::size_t>(g.shape.nodes[outer]);
  const Batch batch(scratch, g.plans[outer].length);
  for (std::size_t k = 0; k <= nodes; ++k) {
    const std::size_t mirror = k == 0 ? 0 : 2 * nodes - k, from = k * plane + column;
    const auto ar = hn::Load(d, g.half_re + from), ai = hn::Load(d, g.half_im + from);
    const auto br = hn::Load(d, g.half_re + from + lanes), bi = hn::Load(d, g.half_im + from + lanes);
    hn::Store(hn::Add(ar, bi), d, batch.re + mirror * lanes);
    hn::Store(hn::Sub(br, ai), d, batch.im + mirror * lanes);
    hn::Store(hn::Sub(ar, bi), d, batch.re + k * lanes);
    hn::Store(hn::Add(ai, br), d, batch.im + k * lanes);
  }
  const auto [im, re] =  // exchanged: the inverse
      run_fft<FftHalf::output>(g.plans[outer], batch.im, batch.re, batch.other_im, batch.other_re);
  store_columns(re, plane, nodes, g.grid + column);
  store_columns(im, plane, nodes, g.grid + column + lanes);
}

// rows[r][column], r < lanes, to batch[column][r], and back, for all columns of the grid; past its nodes zeros return.
void transpose_in(const GridConvolution& g, const float* rows, float* batch) {
  const FloatTag d;
  const std::size_t lanes = hn::Lanes(d), nodes = static_cast<std::size_t>(g.shape.nodes[0]);
  for (std::size_t column = 0; column < nodes; column += lanes) {
    FloatVector block[kMostLanes];
    for (std::size_t r = 0; r < lanes; ++r) block[r] = hn::Load(d, rows + r * g.stride + column);
    transpose(block);
    for (std::size_t r = 0; r < std::min(lanes, nodes - column); ++r)
      hn::Store(block[r], d, batch + (column + r) * lanes);
  }
}

void transpose_out(const GridConvolution& g, const float* batch, float* rows) {
  const FloatTag d;
  const std::size_t lanes = hn::Lanes(d), nodes = static_cast<std::size_t>(g.shape.nodes[0]);
  for (std::size_t column = 0; column < nodes; column += lanes) {
    FloatVector block[kMostLanes];
    for (std::size_t r = 0; r < lanes; ++r)
      block[r] = column + r < nodes ? hn::Load(d, batch + (column + r) * lanes) : hn::Zero(d);
    transpose(block);
    for (std::size_t r = 0; r < lanes; ++r) hn::Store(block[r], d, rows + r * g.stride + column);
  }
}

// `lanes` rows that are already in the frequencies of the other axes: forward along x, times the spectrum, backward.
void convolve_rows(const GridConvolution& g, float* rows_re, float* rows_im, const float* spectrum, float* scratch) {
  const FloatTag d;
  const std::size_t lanes = hn::Lanes(d);
  const FftPlan& plan = g.plans[0];
  const auto nodes = static_cast<std::size_t>(g.shape.nodes[0]), length = static_cast<std::size_t>(plan.length);
  const Batch batch(scratch, plan.length);
  transpose_in(g, rows_re, batch.re);
  transpose_in(g, rows_im, batch.im);
  const auto [re, im] = run_fft<FftHalf::input>(plan, batch.re, batch.im, batch.other_re, batch.other_im);
  for (std::size_t k = 0; k < length; ++k) {
    const auto factor = hn::LoadU(d, spectrum + std::min(k, 2 * nodes - k) * g.spectrum_stride());
    hn::Store(hn::Mul(hn::Load(d, re + k * lanes), factor), d, re + k * lanes);
    hn::Store(hn::Mul(hn::Load(d, im + k * lanes), factor), d, im + k * lanes);
  }
  const bool moved = re != batch.re;
  const auto [out_im, out_re] =
      run_fft<FftHalf::output>(plan, im, re, moved ? batch.im : batch.other_im, moved ? batch.re : batch.other_re);
  transpose_out(g, out_re, rows_re);
  transpose_out(g, out_im, rows_im);
}

// Along y in one plane of a 3-D grid, columns as lanes: [nodes y] rows to [length y] rows of the scratch plane.
void transform_plane(const GridConvolution& g, const float* from_re, const float* from_im, float* to_re, float* to_im,
                     float* scratch) {
  const auto nodes = static_cast<std::size_t>(g.shape.nodes[1]);
  const Batch batch(scratch, g.plans[1].length);
  for (std::size_t column = 0; column < g.stride; column += hn::Lanes(FloatTag())) {
    load_columns(from_re + column, g.stride, nodes, batch.re);
    load_columns(from_im + column, g.stride, nodes, batch.im);
    const auto [re, im] = run_fft<FftHalf::input>(g.plans[1], batch.re, batch.im, batch.other_re, batch.other_im);
    store_columns(re, g.stride, 2 * nodes, to_re + column);
    store_columns(im, g.stride, 2 * nodes, to_im + column);
  }
}

// The inverse of transform_plane.
void restore_plane(const GridConvolution& g, const float* from_re, const float* from_im, float* to_re, float* to_im,
                   float* scratch) {
  const auto nodes = static_cast<std::size_t>(g.shape.nodes[1]);
  const Batch batch(scratch, g.plans[1].length);
  for (std::size_t column = 0; column < g.stride; column += hn::Lanes(FloatTag())) {
    load_columns(from_re + column, g.stride, 2 * nodes, batch.re);
    load_columns(from_im + column, g.stride, 2 * nodes, batch.im);
    const auto [im, re] = run_fft<FftHalf::output>(g.plans[1], batch.im, batch.re, batch.other_im, batch.other_re);
    store_columns(re, g.stride, nodes, to_re + column);
    store_columns(im, g.stride, nodes, to_im + column);
  }
}

// 2-D: the rows of frequencies y, from `row` on. The spectrum's rows of one x frequency hold all y frequencies.
void convolve_row_block(const GridConvolution& g, std::size_t row, float* scratch) {
  convolve_rows(g, g.half_re + row * g.stride, g.half_im + row * g.stride, g.spectrum + row, scratch);
}

// 3-D: one z frequency.
void convolve_plane(const GridConvolution& g, std::size_t z, float* scratch) {
  const std::size_t rows = 2 * static_cast<std::size_t>(g.shape.nodes[1]), lanes = hn::Lanes(FloatTag());
  float* plane_re = scratch;
  float* plane_im = plane_re + rows * g.stride;
  float* batches = plane_im + rows * g.stride;
  float* re = g.half_re + z * g.plane();
  float* im = g.half_im + z * g.plane();
  const float* spectrum = g.spectrum + z * (static_cast<std::size_t>(g.shape.nodes[0]) + 1) * g.spectrum_stride();
  transform_plane(g, re, im, plane_re, plane_im, batches);
  for (std::size_t row = 0; row < rows; row += lanes)
    convolve_rows(g, plane_re + row * g.stride, plane_im + row * g.stride, spectrum + row, batches);
  restore_plane(g, plane_re, plane_im, re, im, batches);
}

// The transform of 2 * lanes real, even lines of one axis, in place: 0..nodes of each stand for the whole period. Since
// the transform of an even line is real, lines may travel as real and as imaginary parts.
void transform_even_lines(const FftPlan& plan, float* const* lines, std::size_t count, std::size_t step,
                          float* scratch) {
  const std::size_t lanes = hn::Lanes(FloatTag()), nodes = static_cast<std::size_t>(plan.length) / 2;
  const Batch batch(scratch, plan.length);
  for (std::size_t line = 0; line < 2 * lanes; ++line) {
    float* to = (line < lanes ? batch.re : batch.im) + line % lanes;
    for (std::size_t k = 0; k < 2 * nodes; ++k)
      to[k * lanes] = line < count ? lines[line][std::min(k, 2 * nodes - k) * step] : 0.0f;
  }
  const auto [re, im] = run_fft<FftHalf::neither>(plan, batch.re, batch.im, batch.other_re, batch.other_im);
  for (std::size_t line = 0; line < count; ++line)
    for (std::size_t k = 0; k <= nodes; ++k)
      lines[line][k * step] = ((line < lanes ? re : im) + line % lanes)[k * lanes];
}

}  // namespace lexiscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lexiscope::cpu {
namespace {

constexpr std::size_t kWidest = 16;  // f32 lanes of the widest target; rows are padded to two of them

std::size_t round_up(std::size_t value, std::size_t unit) { return (value + unit - 1) / unit * unit; }

// One of the spectrum's axes, as a way to walk its lines.
struct SpectrumAxis {
  std::size_t count;  // frequencies from 0 to the highest
  std::size_t step;   // floats between two of them
};

std::array<SpectrumAxis, 3> spectrum_axes(const GridConvolution& g) {
  const auto frequencies = [&](std::size_t axis) { return static_cast<std::size_t>(g.shape.nodes[axis]) + 1; };
  return {{{frequencies(0), g.spectrum_stride()},
           {frequencies(1), 1},
           {g.shape.dimensions == 3 ? frequencies(2) : 1, frequencies(0) * g.spectrum_stride()}}};
}

// The start of line number `line` along `axis`: the other two axes, whichever they are, count the lines.
float* spectrum_line(const GridConvolution& g, const std::array<SpectrumAxis, 3>& axes, std::size_t axis,
                     std::size_t line) {
  const SpectrumAxis& a = axes[(axis + 1) % 3];
  const SpectrumAxis& b = axes[(axis + 2) % 3];
  return g.spectrum + line % a.count * a.step + line / a.count * b.step;
}

}  // namespace

HWY_EXPORT(transform_columns);
HWY_EXPORT(restore_columns);
HWY_EXPORT(convolve_row_block);
HWY_EXPORT(convolve_plane);
HWY_EXPORT(transform_even_lines);

std::size_t GridConvolution::spectrum_stride() const noexcept {
  const auto y = static_cast<std::size_t>(shape.nodes[1]);
  return shape.dimensions == 3 ? 2 * y : round_up(y + 1, kWidest);  // 3-D walks all y frequencies of a plane
}

GridConvolution cut_grid_convolution(WorkspaceCutter& cutter, const GridShape& shape, int threads) {
  GridConvolution g;
  g.shape = shape;
  g.stride = round_up(static_cast<std::size_t>(shape.nodes[0]), 2 * kWidest);
  const std::size_t outer_nodes = static_cast<std::size_t>(shape.nodes[shape.dimensions - 1]);
  std::size_t longest = 0;
  for (std::size_t axis = 0; axis < shape.dimensions; ++axis) {
    const int length = 2 * shape.nodes[axis];
    g.plans[axis].length = length;
    g.twiddles[axis] = cutter.cut<float>(fft_twiddle_count(length));
    longest = std::max(longest, static_cast<std::size_t>(length));
  }
  g.grid = cutter.cut<float>(g.grid_floats());
  g.half_re = cutter.cut<float>(g.plane() * round_up(outer_nodes + 1, kWidest));
  g.half_im = cutter.cut<float>(g.plane() * round_up(outer_nodes + 1, kWidest));
  const std::size_t z_frequencies = shape.dimensions == 3 ? outer_nodes + 1 : 1;
  g.spectrum = cutter.cut<float>(z_frequencies * (static_cast<std::size_t>(shape.nodes[0]) + 1) * g.spectrum_stride());
  g.scratch_stride = 4 * longest * kWidest;
  if (shape.dimensions == 3) g.scratch_stride += 4 * static_cast<std::size_t>(shape.nodes[1]) * g.stride;
  g.scratch = cutter.cut<float>(g.scratch_stride * static_cast<std::size_t>(threads));
  return g;
}

void set_grid_kernel(GridConvolution& g, const std::function<double(int, int, int)>& sample,
                     const std::function<double(double)>& filter, const Context& context) {
  const auto axes = spectrum_axes(g);
#pragma omp parallel for schedule(static) num_threads(context.threads)
  for (std::size_t line = 0; line < axes[0].count * axes[2].count; ++line) {
    const std::size_t x = line % axes[0].count, z = line / axes[0].count;
    float* row = g.spectrum + x * axes[0].step + z * axes[2].step;
    for (std::size_t y = 0; y < axes[1].count; ++y)
      row[y] = static_cast<float>(sample(static_cast<int>(x), static_cast<int>(y), static_cast<int>(z)));
  }
  const auto transform = HWY_DYNAMIC_DISPATCH(transform_even_lines);
  const std::size_t group = 2 * fft_lanes();
  for (std::size_t axis = 0; axis < g.shape.dimensions; ++axis) {
    g.plans[axis] = make_fft_plan(2 * g.shape.nodes[axis], g.twiddles[axis]);
    const FftPlan& plan = g.plans[axis];
    const std::size_t lines = axes[0].count * axes[1].count * axes[2].count / axes[axis].count;
#pragma omp parallel for schedule(static) num_threads(context.threads)
    for (std::size_t first = 0; first < lines; first += group) {
      float* starts[2 * kWidest];
      const std::size_t count = std::min(group, lines - first);
      for (std::size_t line = 0; line < count; ++line) starts[line] = spectrum_line(g, axes, axis, first + line);
      transform(plan, starts, count, axes[axis].step,
                g.scratch + static_cast<std::size_t>(omp_get_thread_num()) * g.scratch_stride);
      for (std::size_t k = 0; k < axes[axis].count; ++k) {
        const double scale = filter(2 * std::numbers::pi * static_cast<double>(k) / plan.length) / plan.length;
        for (std::size_t line = 0; line < count; ++line) starts[line][k * axes[axis].step] *= static_cast<float>(scale);
      }
    }
  }
  if (g.shape.dimensions == 2) return;
#pragma omp parallel for schedule(static) num_threads(context.threads)
  for (std::size_t line = 0; line < axes[0].count * axes[2].count; ++line) {  // the negative y frequencies
    float* row = g.spectrum + line * g.spectrum_stride();
    for (std::size_t y = axes[1].count; y < g.spectrum_stride(); ++y) row[y] = row[g.spectrum_stride() - y];
  }
}

void convolve_grid(const GridConvolution& g, const Context& context) {
  const auto transform = HWY_DYNAMIC_DISPATCH(transform_columns), restore = HWY_DYNAMIC_DISPATCH(restore_columns);
  const auto row_block = HWY_DYNAMIC_DISPATCH(convolve_row_block), plane = HWY_DYNAMIC_DISPATCH(convolve_plane);
  const std::size_t lanes = fft_lanes();
  const bool deep = g.shape.dimensions == 3;
  const std::size_t frequencies = static_cast<std::size_t>(g.shape.nodes[g.shape.dimensions - 1]) + 1;
#pragma omp parallel num_threads(context.threads)
  {
    float* scratch = g.scratch + static_cast<std::size_t>(omp_get_thread_num()) * g.scratch_stride;
#pragma omp for schedule(dynamic, 1)
    for (std::size_t column = 0; column < g.plane(); column += 2 * lanes) transform(g, column, scratch);
#pragma omp for schedule(dynamic, 1)
    for (std::size_t first = 0; first < frequencies; first += deep ? 1 : lanes)
      (deep ? plane : row_block)(g, first, scratch);
#pragma omp for schedule(dynamic, 1)
    for (std::size_t column = 0; column < g.plane(); column += 2 * lanes) restore(g, column, scratch);
  }
}

}  // namespace lexiscope::cpu
#endif
