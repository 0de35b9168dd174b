// Bias, activation and residual behind the product's sums, four columns at a time; y is written once and nothing else.
#include "kernels/cuda/activation.h"
#include "kernels/cuda/cublas_lt_product.h"
#include "kernels/cuda/finish_sums.cuh"
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
    const std::size_t count = tail.y.columns - column;
    Pack<float, 4> bias{}, residual{};
    if (!tail.bias.empty()) bias = load_pack_part<4>(tail.bias.data + column, whole, count);
    if (!tail.residual.empty()) residual = load_pack_part<4>(tail.residual.row(row) + column, whole, count);
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

LinearFinish finish_of(const LinearTail& tail) {
  return {tail, rows_hold_packs<4>(tail.bias.data, 0) && rows_hold_packs<4>(tail.residual.data, tail.residual.stride) &&
                    rows_hold_packs<4>(tail.y.data, tail.y.stride)};
}

// A library adds bias and residual exactly. Its GELU is the one by tanh, to its own accuracy, and nothing can be added
// behind it: activations are ours.
void library_product(const char* name, const PieceMatrix& x, const PackedWeights& weight, const LinearTail& tail,
                     CublasLtProduct& library, float* sums, cudaStream_t stream) {
  if (tail.activation == Activation::none) {
    library.multiply(x, weight, {.bias = tail.bias, .residual = tail.residual, .y = tail.y}, stream);
    return;
  }
  const MatrixView<float> before = sums ? MatrixView<float>{sums, tail.y.rows, tail.y.columns, tail.y.columns} : tail.y;
  library.multiply(x, weight, {.bias = tail.bias, .residual = {}, .y = before}, stream);
  LinearTail rest = tail;
  rest.bias = {};
  finish_sums<1>(name, before, tail.y.columns, finish_of(rest), stream);
}

}  // namespace

ProductConfig choose_linear_product_config(const ProductShape& shape, const LinearTail& tail,
                                           const cudaDeviceProp& device) {
  ProductConfig config = choose_product_config(shape, device);
  config.library_is_faster = config.library_is_faster && finish_of(tail).wide;
  return config;
}

std::size_t linear_product_workspace(const LinearTail& tail, const ProductConfig& config) {
  const bool apart = config.library && tail.activation != Activation::none && !tail.residual.empty();
  return apart ? tail.y.rows * tail.y.columns * sizeof(float) : 0;
}

void linear_product(const char* name, const PieceMatrix& x, const PackedWeights& weight, const LinearTail& tail,
                    const ProductConfig& config, void* workspace, cudaStream_t stream) {
  if (config.library) {
    auto* sums = linear_product_workspace(tail, config) > 0 ? static_cast<float*>(workspace) : nullptr;
    library_product(name, x, weight, tail, *config.library, sums, stream);
  } else if (weight.dtype == DType::bf16) {
    linear_product_in<std::uint16_t>(name, x, weight, finish_of(tail), config, stream);
  } else {
    linear_product_in<float>(name, x, weight, finish_of(tail), config, stream);
  }
}

}  // namespace lexiscope::cuda
