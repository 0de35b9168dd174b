// What gelu_mlp and swiglu_mlp share: up, an activation, perhaps a gate, and down.
#pragma once

#include "kernels/cpu/context.h"
#include "kernels/cpu/packed_weights.h"
#include "lexiscope/ops/linear.h"

namespace lexiscope::cpu {

/// y = hidden W_down^T + b_down + residual, where hidden = activation(x W_up^T + b_up), or with a gate
/// activation(x W_gate^T + b_gate) * (x W_up^T + b_up). Biases and residual may be empty.
struct Perceptron {
  MatrixView<const float> x;
  PackedWeights gate;  // its data is null for none
  VectorView<const float> gate_bias;
  PackedWeights up;
  VectorView<const float> up_bias;
  PackedWeights down;
  VectorView<const float> down_bias;
  Activation activation;
  MatrixView<const float> residual;
  MatrixView<float> y;
};

/// Bytes of Context::workspace that it needs.
std::size_t perceptron_workspace(const Perceptron& args, const Context& context);

void perceptron(const Perceptron& args, const Context& context);

}  // namespace lexiscope::cpu
