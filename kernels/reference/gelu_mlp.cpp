// The perceptron from its formula, row by row, in double.
#include "kernels/reference/gelu_mlp.h"

#include <vector>

#include "kernels/reference/activation.h"

namespace lexiscope::reference {

void gelu_mlp(const GeluMlpArgs& args, MatrixView<const double> up, MatrixView<const double> down) {
  std::vector<double> hidden(up.rows);
  for (std::size_t t = 0; t < args.x.rows; ++t) {
    for (std::size_t j = 0; j < up.rows; ++j) {
      double sum = args.up_bias.empty() ? 0.0 : args.up_bias.data[j];
      for (std::size_t k = 0; k < up.columns; ++k) sum += args.x.row(t)[k] * up.row(j)[k];
      hidden[j] = activate(args.activation, sum);
    }
    for (std::size_t j = 0; j < down.rows; ++j) {
      double sum = args.down_bias.empty() ? 0.0 : args.down_bias.data[j];
      for (std::size_t k = 0; k < down.columns; ++k) sum += hidden[k] * down.row(j)[k];
      args.y.row(t)[j] = static_cast<float>(sum + (args.residual.empty() ? 0.0 : args.residual.row(t)[j]));
    }
  }
}

}  // namespace lexiscope::reference
