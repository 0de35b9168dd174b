#include "kernels/cuda/swiglu_mlp.h"

namespace lexiscope::cuda {

Perceptron swiglu_mlp(const SwigluMlpArgs& args, const PackedWeights& gate, const PackedWeights& up,
                      const PackedWeights& down) {
  return {.x = args.x,
          .gate = gate,
          .gate_bias = args.gate_bias,
          .up = up,
          .up_bias = args.up_bias,
          .down = down,
          .down_bias = args.down_bias,
          .activation = Activation::silu,
          .residual = args.residual,
          .y = args.y};
}

}  // namespace lexiscope::cuda
