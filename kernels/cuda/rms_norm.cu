// RMSNorm: a row is loaded once, held in registers, and stored once. Squares are summed in double, so that no element
// is too large and the sum's error vanishes in that of f32. An element needs one conversion and one multiply-add in
// double: two a cycle, where a multiprocessor has least of them, are more than memory brings (8 bytes an element).
#include "kernels/cuda/rms_norm.h"
#include "kernels/cuda/row.cuh"

namespace lexiscope::cuda {
namespace {

// 1 / sqrt(square) as a product: x * part * rest. Where the root lies far from 1, elements take a power of two first,
// so that the rest is neither subnormal nor infinite.
struct InverseRoot {
  float part, rest;
};

// rsqrtf is off by 2^-22; a Newton step, whose residual 1 - square r^2 is taken in double, squares that, and the result
// is rounded once.
__device__ InverseRoot inverse_root(double square) {
  float part = 1;
  if (square > 0x1p126) {
    square *= 0x1p-128;
    part = 0x1p-64f;
  } else if (square < 0x1p-100) {
    square *= 0x1p128;
    part = 0x1p64f;
  }
  const float estimate = rsqrtf(static_cast<float>(square));
  const double residual = fma(-square * estimate, static_cast<double>(estimate), 1.0);
  return {part, fmaf(estimate * 0.5f, static_cast<float>(residual), estimate)};
}

template <unsigned kWidth, RowHolder kHolder>
__global__ void __launch_bounds__(most_threads(kHolder), least_blocks(kHolder, kWidth))
    rms_norm_kernel(RmsNormArgs args) {
  const RowThreads<kWidth, kHolder> threads(args.x.rows);
  if (!threads.has_row()) return;
  const float* x = args.x.row(threads.row());
  auto row = threads.hold(x, nullptr, args.x.columns);

  double squares = 0;
  row.for_each([&](const Pack<float, kWidth>& values) {
    for (const double value : values.values) squares = fma(value, value, squares);
  });
  const double mean = threads.template sum<0>(squares) / static_cast<double>(args.x.columns);
  const InverseRoot inverse = inverse_root(mean + args.epsilon);

  float* y = args.y.row(threads.row());
  const auto fetch = [&](std::size_t column) { return load_pack<kWidth>(args.gain.data + column); };
  row.for_each(fetch, [&](std::size_t column, const Pack<float, kWidth>& values, const Pack<float, kWidth>& gain) {
    Pack<float, kWidth> normal;
    for (unsigned k = 0; k < kWidth; ++k)
      normal.values[k] = values.values[k] * inverse.part * inverse.rest * gain.values[k];
    store_pack(y + column, normal);
  });
}

struct RmsNormKernels {
  template <unsigned kWidth, RowHolder kHolder>
  static constexpr auto get() {
    return rms_norm_kernel<kWidth, kHolder>;
  }
};

}  // namespace

RowConfig choose_rms_norm_config(const RmsNormArgs& args, const cudaDeviceProp& device) {
  const bool wide = args.x.columns % 4 == 0 && rows_hold_packs<4>(args.x.data, args.x.stride) &&
                    rows_hold_packs<4>(args.gain.data, 0) && rows_hold_packs<4>(args.y.data, args.y.stride);
  return choose_row_config(args.x.rows, args.x.columns, wide, device);
}

void rms_norm(const RmsNormArgs& args, const RowConfig& config, cudaStream_t stream) {
  launch_rows("rms_norm", args, config, stream, RmsNormKernels());
}

}  // namespace lexiscope::cuda
