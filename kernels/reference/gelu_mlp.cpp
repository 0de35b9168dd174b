// The perceptron from its formula, row by row, in double.
#include "kernels/reference/gelu_mlp.h"

#include <vector>

#include "kernels/reference/activation.h"

namespace lexiscope::reference {

void gelu_mlp(const GeluMlpArgs& args, const Weight& up, const Weight& down) {
  std::vector<double> hidden(up.out());
  for (std::size_t t = 0; t < args.x.rows; ++t) {
    for (std::size_t j = 0; j < up.out(); ++j)
      hidden[j] = activate(args.activation, up.product(args.x.row(t), j, args.up_bias));
    for (std::size_t j = 0; j < down.out(); ++j) {
      const double sum = down.product(hidden.data(), j, args.down_bias);
      args.y.row(t)[j] = static_cast<float>(sum + (args.residual.empty() ? 0.0 : args.residual.row(t)[j]));
    }
  }
}

}  // namespace lexiscope::reference
