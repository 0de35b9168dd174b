// Conversion at the speed of memory: every byte is read or written once.
#include "kernels/cuda/bf16.h"
#include "kernels/cuda/convert.h"
#include "kernels/cuda/pack.h"
#include "kernels/cuda/row_pieces.cuh"

namespace lexiscope::cuda {
namespace {

template <typename From, typename To>
__device__ To converted(From value) {
  if constexpr (std::is_same_v<From, To>) return value;
  if constexpr (std::is_same_v<From, float> && !std::is_same_v<To, float>) return bf16_bits(value);
  if constexpr (!std::is_same_v<From, float>) return from_bf16_bits(value);
}

// bf16 as its bits.
template <unsigned kWidth, typename From, typename To>
__global__ void __launch_bounds__(kRowPieceThreads) convert_kernel(MatrixView<const From> from, MatrixView<To> to) {
  for_each_row_pack<kWidth>(from.rows, from.columns, [&](std::size_t row, std::size_t column) {
    const auto source = load_pack<kWidth>(from.row(row) + column);
    Pack<To, kWidth> result;
    for (unsigned k = 0; k < kWidth; ++k) result.values[k] = converted<From, To>(source.values[k]);
    store_pack(to.row(row) + column, result);
  });
}

template <typename From, typename To>
void convert_as(const ConvertArgs& args, const ConvertConfig& config, cudaStream_t stream) {
  const auto view = [&]<typename Element>(Element* data, std::size_t stride) {
    return MatrixView<Element>{data, config.rows, config.columns, stride};
  };
  launch("convert", config.vector_width == 4 ? convert_kernel<4, From, To> : convert_kernel<1, From, To>,
         row_piece_shape(config.rows, config.columns, config.vector_width), stream,
         view(static_cast<const From*>(args.from.data), args.from.strides[0]),
         view(static_cast<To*>(args.to.data), args.to.strides[0]));
}

bool holds_packs(const ConstTensorView& view, bool one_row) {
  const std::size_t pack = 4 * size_of(view.dtype);
  return reinterpret_cast<std::uintptr_t>(view.data) % pack == 0 && (one_row || view.strides[0] % 4 == 0);
}

}  // namespace

ConvertConfig choose_convert_config(const ConvertArgs& args) {
  const auto &from = args.from, to = ConstTensorView(args.to);
  const std::size_t rows = from.shape[0], columns = from.shape[1];
  const bool dense = rows == 1 || (from.strides[0] == columns && to.strides[0] == columns);
  ConvertConfig config{.rows = dense ? 1 : rows, .columns = dense ? rows * columns : columns, .vector_width = 1};
  if (config.columns % 4 == 0 && holds_packs(from, dense) && holds_packs(to, dense)) config.vector_width = 4;
  return config;
}

void convert(const ConvertArgs& args, const ConvertConfig& config, cudaStream_t stream) {
  if (args.from.dtype == args.to.dtype)
    convert_as<float, float>(args, config, stream);
  else if (args.to.dtype == DType::bf16)
    convert_as<float, std::uint16_t>(args, config, stream);
  else
    convert_as<std::uint16_t, float>(args, config, stream);
}

}  // namespace lexiscope::cuda
