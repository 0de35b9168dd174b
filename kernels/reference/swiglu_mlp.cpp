// The gated perceptron from its formula, row by row, in double.
#include "kernels/reference/swiglu_mlp.h"

#include <vector>

#include "kernels/reference/activation.h"

namespace lexiscope::reference {

void swiglu_mlp(const SwigluMlpArgs& args, const Weight& gate, const Weight& up, const Weight& down) {
  std::vector<double> hidden(up.out());
  for (std::size_t t = 0; t < args.x.rows; ++t) {
    const float* x = args.x.row(t);
    for (std::size_t j = 0; j < up.out(); ++j)
      hidden[j] = activate(Activation::silu, gate.product(x, j, args.gate_bias)) * up.product(x, j, args.up_bias);
    for (std::size_t i = 0; i < down.out(); ++i) {
      const double residual = args.residual.empty() ? 0.0 : args.residual.row(t)[i];
      args.y.row(t)[i] = static_cast<float>(down.product(hidden.data(), i, args.down_bias) + residual);
    }
  }
}

}  // namespace lexiscope::reference
