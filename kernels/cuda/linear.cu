// The linear layer: x in the weights' type, then one product with everything behind it fused.
#include <cstddef>

#include "kernels/cuda/linear.h"
#include "kernels/cuda/linear_product.h"

namespace lexiscope::cuda {
namespace {

LinearTail tail_of(const LinearArgs& args) { return {args.bias, args.activation, args.residual, args.y}; }

std::size_t x_bytes(const LinearArgs& args, const PackedWeights& weight) {
  return piece_rows_workspace(args.x, weight.dtype);
}

}  // namespace

ProductConfig choose_linear_config(const LinearArgs& args, const PackedWeights& weight, const cudaDeviceProp& device) {
  return choose_linear_product_config(
      {.rows = args.x.rows, .columns = weight.rows, .depth = weight.columns, .dtype = weight.dtype}, tail_of(args),
      device);
}

std::size_t linear_workspace(const LinearArgs& args, const PackedWeights& weight, const ProductConfig& config) {
  return x_bytes(args, weight) + linear_product_workspace(tail_of(args), config);
}

void linear(const LinearArgs& args, const PackedWeights& weight, const ProductConfig& config, void* workspace,
            cudaStream_t stream) {
  const PieceMatrix x = piece_rows(args.x, weight.dtype, workspace, stream);
  linear_product("linear", x, weight, tail_of(args), config, static_cast<std::byte*>(workspace) + x_bytes(args, weight),
                 stream);
}

}  // namespace lexiscope::cuda
