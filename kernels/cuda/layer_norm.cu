// LayerNorm: a row is loaded once, with its residual, held in registers, and stored once. The variance is taken from
// the deviations in a second pass over registers, since the one-pass formula cancels where the mean is large.
#include "kernels/cuda/layer_norm.h"
#include "kernels/cuda/row.cuh"

namespace lexiscope::cuda {
namespace {

template <unsigned kWidth, RowHolder kHolder>
__global__ void __launch_bounds__(most_threads(kHolder)) layer_norm_kernel(LayerNormArgs args) {
  const RowThreads<kWidth, kHolder> threads(args.x.rows);
  if (!threads.has_row()) return;
  const float* x = args.x.row(threads.row());
  const float* residual = args.residual.empty() ? nullptr : args.residual.row(threads.row());
  const auto row = threads.hold(args.x.columns, [=](unsigned column) {
    auto pack = load_pack<kWidth>(x + column);
    if (residual) {
      const auto added = load_pack<kWidth>(residual + column);
      for (unsigned k = 0; k < kWidth; ++k) pack.values[k] += added.values[k];
    }
    return pack;
  });
  const auto d = static_cast<float>(args.x.columns);

  float sum = 0;
  row.for_each([&](unsigned, const Pack<float, kWidth>& s) {
    for (unsigned k = 0; k < kWidth; ++k) sum += s.values[k];
  });
  const float mean = threads.template sum<0>(sum) / d;

  float squares = 0;
  row.for_each([&](unsigned, const Pack<float, kWidth>& s) {
    for (unsigned k = 0; k < kWidth; ++k) squares += (s.values[k] - mean) * (s.values[k] - mean);
  });
  const float scale = 1 / sqrtf(threads.template sum<1>(squares) / d + args.epsilon);

  float* y = args.y.row(threads.row());
  row.for_each([&](unsigned column, const Pack<float, kWidth>& s) {
    const auto gain = load_pack<kWidth>(args.gain.data + column);
    const auto bias = args.bias.empty() ? Pack<float, kWidth>{} : load_pack<kWidth>(args.bias.data + column);
    Pack<float, kWidth> normal;
    for (unsigned k = 0; k < kWidth; ++k)
      normal.values[k] = (s.values[k] - mean) * scale * gain.values[k] + bias.values[k];
    store_pack(y + column, normal);
  });
}

struct LayerNormKernels {
  template <unsigned kWidth, RowHolder kHolder>
  static constexpr auto get() {
    return layer_norm_kernel<kWidth, kHolder>;
  }
};

}  // namespace

RowConfig choose_layer_norm_config(const LayerNormArgs& args, const cudaDeviceProp& device) {
  const bool wide = args.x.columns % 4 == 0 && rows_hold_packs<4>(args.x.data, args.x.stride) &&
                    rows_hold_packs<4>(args.residual.data, args.residual.stride) &&
                    rows_hold_packs<4>(args.gain.data, 0) && rows_hold_packs<4>(args.bias.data, 0) &&
                    rows_hold_packs<4>(args.y.data, args.y.stride);
  return choose_row_config(args.x.rows, args.x.columns, wide, device);
}

void layer_norm(const LayerNormArgs& args, const RowConfig& config, cudaStream_t stream) {
  launch_rows("layer_norm", args, config, stream, LayerNormKernels());
}

}  // namespace lexiscope::cuda
