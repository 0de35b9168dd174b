// The linear layer: x in the weights' type, then one product with everything behind it fused.
#include "kernels/cuda/linear.h"
#include "kernels/cuda/linear_product.h"

namespace lexiscope::cuda {

ProductConfig choose_linear_config(const LinearArgs& args, const PackedWeights& weight, const cudaDeviceProp& device) {
  return choose_product_config({.rows = args.x.rows, .columns = weight.rows, .dtype = weight.dtype}, device);
}

std::size_t linear_workspace(const LinearArgs& args, const PackedWeights& weight) {
  return piece_rows_workspace(args.x, weight.dtype);
}

void linear(const LinearArgs& args, const PackedWeights& weight, const ProductConfig& config, void* workspace,
            cudaStream_t stream) {
  const PieceMatrix x = piece_rows(args.x, weight.dtype, workspace, stream);
  linear_product("linear", x, weight,
                 {.bias = args.bias, .activation = args.activation, .residual = args.residual, .y = args.y}, config,
                 stream);
}

}  // namespace lexiscope::cuda
