// The product behind a linear layer and the second half of a perceptron, on rows that lie as products take them.
#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/packed_weights.h"
#include "kernels/cuda/piece_rows.h"
#include "kernels/cuda/product_config.h"
#include "lexiscope/ops/linear.h"

namespace lexiscope::cuda {

/// What follows the sums: y = activation(sums + bias) + residual.
struct LinearTail {
  VectorView<const float> bias;  ///< or empty
  Activation activation;
  MatrixView<const float> residual;  ///< or empty; may be y
  MatrixView<float> y;
};

/// A library is not counted on to be faster where bias, or rows of residual or y, do not begin on 16 bytes.
ProductConfig choose_linear_product_config(const ProductShape& shape, const LinearTail& tail,
                                           const cudaDeviceProp& device);

/// Bytes of linear_product()'s workspace: 0 but for a library's sums that cannot wait in y for their activation.
std::size_t linear_product_workspace(const LinearTail& tail, const ProductConfig& config);

/// x [T, in] in the weight's type. Enqueues on `stream` and returns.
void linear_product(const char* name, const PieceMatrix& x, const PackedWeights& weight, const LinearTail& tail,
                    const ProductConfig& config, void* workspace, cudaStream_t stream);

}  // namespace lexiscope::cuda
