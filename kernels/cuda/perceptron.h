// What gelu_mlp and swiglu_mlp share: up, an activation, perhaps a gate, and down.
#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/packed_weights.h"
#include "kernels/cuda/product_config.h"
#include "lexiscope/ops/linear.h"

namespace lexiscope::cuda {

/// y = hidden W_down^T + b_down + residual, where hidden = activation(x W_up^T + b_up), or with a gate
/// activation(x W_gate^T + b_gate) * (x W_up^T + b_up). Biases and residual may be empty. All weights have one type;
/// in bf16 the hidden units are rounded to it.
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

struct PerceptronConfig {
  ProductConfig up, down;
};

PerceptronConfig choose_perceptron_config(const Perceptron& args, const cudaDeviceProp& device);

/// Bytes of the workspace that perceptron() needs, aligned to 16 bytes.
std::size_t perceptron_workspace(const Perceptron& args, const PerceptronConfig& config = {});

/// Enqueues on `stream` and returns; args point to device memory.
void perceptron(const Perceptron& args, const PerceptronConfig& config, void* workspace, cudaStream_t stream);

}  // namespace lexiscope::cuda
