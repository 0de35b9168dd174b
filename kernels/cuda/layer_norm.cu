// LayerNorm: a row is loaded once, with its residual, held in registers, and stored once. The variance is taken from
// the deviations in a second pass over registers, since the one-pass formula cancels where the mean is large.
#include "kernels/cuda/layer_norm.h"
#include "kernels/cuda/row.cuh"

namespace lexiscope::cuda {
namespace {

template <unsigned kWidth, RowHolder kHolder>
__global__ void __launch_bounds__(most_threads(kHolder), least_blocks(kHolder, kWidth))
    layer_norm_kernel(LayerNormArgs args) {
  const RowThreads<kWidth, kHolder> threads(args.x.rows);
  if (!threads.has_row()) return;
  const float* x = args.x.row(threads.row());
  const float* residual = args.residual.empty() ? nullptr : args.residual.row(threads.row());
  auto row = threads.hold(x, residual, args.x.columns);
  const auto d = static_cast<float>(args.x.columns);
  using Elements = Pack<float, kWidth>;

  float sum = 0;
  row.for_each([&](const Elements& s) {
    for (unsigned k = 0; k < kWidth; ++k) sum += s.values[k];
  });
  const float mean = threads.template sum<0>(sum) / d;

  float squares = 0;
  row.for_each([&](const Elements& s) {
    for (unsigned k = 0; k < kWidth; ++k) squares += (s.values[k] - mean) * (s.values[k] - mean);
  });
  const float scale = 1 / sqrtf(threads.template sum<1>(squares) / d + args.epsilon);

  float* y = args.y.row(threads.row());
  const auto gain_at = [&](std::size_t column) { return load_pack<kWidth>(args.gain.data + column); };
  const auto normal = [=](const Elements& s, const Elements& gain) {
    Elements result;
    for (unsigned k = 0; k < kWidth; ++k) result.values[k] = (s.values[k] - mean) * scale * gain.values[k];
    return result;
  };
  if (args.bias.empty()) {
    row.for_each(gain_at, [&](std::size_t column, const Elements& s, const Elements& gain) {
      store_pack(y + column, normal(s, gain));
    });
    return;
  }
  struct GainAndBias {
    Elements gain, bias;
  };
  const auto both_at = [&](std::size_t column) -> GainAndBias {
    return {gain_at(column), load_pack<kWidth>(args.bias.data + column)};
  };
  row.for_each(both_at, [&](std::size_t column, const Elements& s, const GainAndBias& with) {
    auto result = normal(s, with.gain);
    add_pack(result, with.bias);
    store_pack(y + column, result);
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
