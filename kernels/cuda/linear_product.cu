// Bias, activation and residual behind the product's sums, four columns at a time; y is written once and nothing else.
#include "kernels/cuda/activation.h"
#include "kernels/cuda/linear_product.h"
#include "kernels/cuda/pack.h"
#include "kernels/cuda/product_launch.cuh"

namespace lexiscope::cuda {
namespace {

struct LinearFinish {
  LinearTail tail;
  bool wide;  // bias, and rows of residual and y, begin on 16 bytes

  __device__ void operator()(std::size_t row, std::size_t column, const Pack<float, 4> (&sums)[1]) const {
    if (row >= tail.y.rows || column >= tail.y.columns) return;
    const bool whole = wide && column + 4 <= tail.y.columns;
    const auto count = static_cast<unsigned>(tail.y.columns - column);
    Pack<float, 4> bias{}, residual{};
    if (!tail.bias.empty()) bias = load(tail.bias.data + column, whole, count);
    if (!tail.residual.empty()) residual = load(tail.residual.row(row) + column, whole, count);
    Pack<float, 4> result;
#pragma unroll
    for (unsigned k = 0; k < 4; ++k)
      result.values[k] = activate(tail.activation, sums[0].values[k] + bias.values[k]) + residual.values[k];
    float* y = tail.y.row(row) + column;
    if (whole) return store_pack(y, result);
#pragma unroll
    for (unsigned k = 0; k < 4; ++k)
      if (k < count) y[k] = result.values[k];
  }

  static __device__ Pack<float, 4> load(const float* from, bool whole, unsigned count) {
    if (whole) return load_pack<4>(from);
    Pack<float, 4> pack{};
#pragma unroll
    for (unsigned k = 0; k < 4; ++k)
      if (k < count) pack.values[k] = from[k];
    return pack;
  }
};

template <typename Element>
void linear_product_in(const char* name, const PieceMatrix& x, const PackedWeights& weight, const LinearFinish& finish,
                       const ProductConfig& config, cudaStream_t stream) {
  const ProductOperands<Element> operands{
      .x = {static_cast<const Element*>(x.data), x.rows, x.stride},
      .weight = {static_cast<const Element*>(weight.data), weight.rows, weight.stride},
      .depth = weight.stride};
  launch_product<false>(name, operands, finish, config, stream);
}

}  // namespace

void linear_product(const char* name, const PieceMatrix& x, const PackedWeights& weight, const LinearTail& tail,
                    const ProductConfig& config, cudaStream_t stream) {
  const bool wide = rows_hold_packs<4>(tail.bias.data, 0) &&
                    rows_hold_packs<4>(tail.residual.data, tail.residual.stride) &&
                    rows_hold_packs<4>(tail.y.data, tail.y.stride);
  const LinearFinish finish{tail, wide};
  if (weight.dtype == DType::bf16)
    linear_product_in<std::uint16_t>(name, x, weight, finish, config, stream);
  else
    linear_product_in<float>(name, x, weight, finish, config, stream);
}

}  // namespace lexiscope::cuda
