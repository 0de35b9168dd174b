#include "kernels/cuda/gelu_mlp.h"

namespace lexiscope::cuda {

Perceptron gelu_mlp(const GeluMlpArgs& args, const PackedWeights& up, const PackedWeights& down) {
  return {.x = args.x,
          .gate = {},
          .gate_bias = {},
          .up = up,
          .up_bias = args.up_bias,
          .down = down,
          .down_bias = args.down_bias,
          .activation = args.activation,
          .residual = args.residual,
          .y = args.y};
}

}  // namespace lexiscope::cuda
