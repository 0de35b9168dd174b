// Convolution of values on a two- or three-dimensional grid with an even kernel, without wrapping: each axis is padded
// with zeros to twice its nodes, and the transforms skip what the padding makes zero.
#pragma once

#include <array>
#include <cstddef>
#include <functional>

#include "kernels/cpu/context.h"
#include "kernels/cpu/fft.h"

namespace lexiscope::cpu {

/// Axis 0 is x (dense in memory), then y, then z; axes from `dimensions` on have one node.
struct GridShape {
  std::size_t dimensions = 2;         ///< 2 or 3
  std::array<int, 3> nodes{1, 1, 1};  ///< half a length that fft_length() returned
  bool operator==(const GridShape&) const = default;
};

struct GridConvolution {
  GridShape shape;
  std::size_t stride = 0;          ///< floats between two rows (along x); the excess holds zeros
  std::array<FftPlan, 3> plans{};  ///< one an axis
  float* grid = nullptr;           ///< [nodes z][nodes y][stride]: the values, replaced by the convolution
  float* spectrum = nullptr;       ///< of the kernel: [frequencies z][nodes x + 1][frequencies y], see frequencies()
  float* half_re = nullptr;        ///< the grid transformed along its outermost axis: [nodes + 1][the others]
  float* half_im = nullptr;
  std::array<float*, 3> twiddles{};
  float* scratch = nullptr;  ///< of each thread
  std::size_t scratch_stride = 0;

  /// Floats between two nodes along the outermost axis.
  std::size_t plane() const noexcept {
    return shape.dimensions == 3 ? stride * static_cast<std::size_t>(shape.nodes[1]) : stride;
  }
  std::size_t grid_floats() const noexcept {
    return plane() * static_cast<std::size_t>(shape.nodes[shape.dimensions - 1]);
  }
  /// Floats between two x frequencies of the spectrum.
  std::size_t spectrum_stride() const noexcept;
};

/// The convolution's arrays cut from memory; with a counting cutter, their size.
GridConvolution cut_grid_convolution(WorkspaceCutter& cutter, const GridShape& shape, int threads);

/// Fills plans and spectrum. `sample(x, y, z)` is the kernel between two nodes that many nodes apart (at least 0);
/// its transform is multiplied by filter(frequency in radians a node) of every axis.
void set_grid_kernel(GridConvolution& convolution, const std::function<double(int, int, int)>& sample,
                     const std::function<double(double)>& filter, const Context& context);

/// grid = kernel (*) grid.
void convolve_grid(const GridConvolution& convolution, const Context& context);

}  // namespace lexiscope::cpu
