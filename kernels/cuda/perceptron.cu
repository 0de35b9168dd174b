// A two-layer perceptron as two products. The first leaves the hidden units in the workspace as the second takes them:
// activated, in the weights' type, in whole pieces of 16 bytes. With a gate its tiles hold both sums of each unit.
#include <cstddef>
#include <type_traits>

#include "kernels/cuda/activation.h"
#include "kernels/cuda/bf16.h"
#include "kernels/cuda/cublas_lt_product.h"
#include "kernels/cuda/finish_sums.cuh"
#include "kernels/cuda/linear_product.h"
#include "kernels/cuda/pack.h"
#include "kernels/cuda/perceptron.h"
#include "kernels/cuda/product_launch.cuh"

namespace lexiscope::cuda {
namespace {

// Hidden units [T, m], and zeros up to the end of a row's last piece.
template <typename Element, bool kGated>
struct HiddenFinish {
  VectorView<const float> bias, gate_bias;
  Activation activation;
  std::size_t units;           // m
  MatrixView<Element> hidden;  // [T, packed_stride(m)]

  __device__ void operator()(std::size_t row, std::size_t column, const Pack<float, 4> (&sums)[kGated ? 2 : 1]) const {
    if (row >= hidden.rows || column >= hidden.columns) return;
    Pack<Element, 4> result{};
#pragma unroll
    for (unsigned k = 0; k < 4; ++k) {
      if (column + k >= units) continue;
      float unit = biased(sums[0].values[k], bias, column + k);
      if constexpr (kGated)
        unit *= activate(activation, biased(sums[1].values[k], gate_bias, column + k));
      else
        unit = activate(activation, unit);
      if constexpr (std::is_same_v<Element, float>)
        result.values[k] = unit;
      else
        result.values[k] = bf16_bits(unit);
    }
    store_pack(hidden.row(row) + column, result);
  }

  static __device__ float biased(float sum, const VectorView<const float>& bias, std::size_t column) {
    return bias.empty() ? sum : sum + bias[column];
  }
};

template <bool kGated, typename Element>
void hidden_product(const Perceptron& args, const PieceMatrix& x, const HiddenFinish<Element, kGated>& finish,
                    const ProductConfig& config, cudaStream_t stream) {
  const auto weight = [](const PackedWeights& packed) {
    return PieceRows<Element>{static_cast<const Element*>(packed.data), packed.rows, packed.stride};
  };
  const ProductOperands<Element> operands{.x = {static_cast<const Element*>(x.data), x.rows, x.stride},
                                          .weight = weight(args.up),
                                          .gate = weight(kGated ? args.gate : args.up),
                                          .depth = args.up.stride};
  launch_product<kGated>("perceptron, hidden units", operands, finish, config, stream);
}

// The sums [T, m] of up, and behind them those of a gate.
template <bool kGated, typename Element>
void library_hidden_product(const Perceptron& args, const PieceMatrix& x, HiddenFinish<Element, kGated> finish,
                            CublasLtProduct& library, float* sums, cudaStream_t stream) {
  const std::size_t stride = packed_stride(args.up.rows, DType::f32);
  const MatrixView<float> up{sums, x.rows, args.up.rows, stride};
  library.multiply(x, args.up, {.bias = args.up_bias, .residual = {}, .y = up}, stream);
  if (kGated) {
    const MatrixView<float> gate{sums + x.rows * stride, x.rows, args.up.rows, stride};
    library.multiply(x, args.gate, {.bias = args.gate_bias, .residual = {}, .y = gate}, stream);
  }
  finish.bias = finish.gate_bias = {};
  finish_sums<kGated ? 2 : 1>("perceptron, hidden units", up, finish.hidden.columns, finish, stream);
}

LinearTail down_tail(const Perceptron& args) {
  return {.bias = args.down_bias, .activation = Activation::none, .residual = args.residual, .y = args.y};
}

// The workspace's parts, each of whole pieces of 16 bytes.
struct Workspace {
  std::size_t hidden, sums, x;  // bytes

  Workspace(const Perceptron& args, const PerceptronConfig& config)
      : hidden(args.x.rows * args.down.stride * size_of(args.down.dtype)),
        sums(config.up.library
                 ? args.x.rows * packed_stride(args.up.rows, DType::f32) * sizeof(float) * (args.gate.data ? 2 : 1)
                 : 0),
        x(piece_rows_workspace(args.x, args.up.dtype)) {}
};

template <bool kGated, typename Element>
void perceptron_in(const Perceptron& args, const PerceptronConfig& config, std::byte* workspace, cudaStream_t stream) {
  const Workspace parts(args, config);
  auto* hidden = reinterpret_cast<Element*>(workspace);
  auto* sums = reinterpret_cast<float*>(workspace + parts.hidden);
  const PieceMatrix x = piece_rows(args.x, args.up.dtype, workspace + parts.hidden + parts.sums, stream);
  const HiddenFinish<Element, kGated> finish{.bias = args.up_bias,
                                             .gate_bias = args.gate_bias,
                                             .activation = args.activation,
                                             .units = args.up.rows,
                                             .hidden = {hidden, x.rows, args.down.stride, args.down.stride}};
  if (config.up.library)
    library_hidden_product(args, x, finish, *config.up.library, sums, stream);
  else
    hidden_product(args, x, finish, config.up, stream);
  linear_product("perceptron, down", {hidden, args.x.rows, args.down.stride}, args.down, down_tail(args), config.down,
                 nullptr, stream);
}

template <typename Element>
void perceptron_of(const Perceptron& args, const PerceptronConfig& config, void* workspace, cudaStream_t stream) {
  const auto run = args.gate.data ? perceptron_in<true, Element> : perceptron_in<false, Element>;
  run(args, config, static_cast<std::byte*>(workspace), stream);
}

}  // namespace

PerceptronConfig choose_perceptron_config(const Perceptron& args, const cudaDeviceProp& device) {
  const auto shape = [&](const PackedWeights& weight) {
    return ProductShape{
        .rows = args.x.rows, .columns = weight.rows, .depth = weight.columns, .dtype = weight.dtype, .gated = false};
  };
  ProductShape up = shape(args.up);
  up.gated = args.gate.data != nullptr;
  return {.up = choose_product_config(up, device),
          .down = choose_linear_product_config(shape(args.down), down_tail(args), device)};
}

std::size_t perceptron_workspace(const Perceptron& args, const PerceptronConfig& config) {
  const Workspace parts(args, config);
  return parts.hidden + parts.sums + parts.x;
}

void perceptron(const Perceptron& args, const PerceptronConfig& config, void* workspace, cudaStream_t stream) {
  if (args.up.dtype == DType::bf16)
    perceptron_of<std::uint16_t>(args, config, workspace, stream);
  else
    perceptron_of<float>(args, config, workspace, stream);
}

}  // namespace lexiscope::cuda
