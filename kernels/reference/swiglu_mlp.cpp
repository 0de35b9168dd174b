// The gated perceptron from its formula, row by row, in double.
#include "kernels/reference/swiglu_mlp.h"

#include <vector>

#include "kernels/reference/activation.h"

namespace lexiscope::reference {
namespace {

template <typename Element>
double product(const Element* x, const double* weight, std::size_t count, const VectorView<const float>& bias,
               std::size_t row) {
  double sum = bias.empty() ? 0.0 : bias[row];
  for (std::size_t k = 0; k < count; ++k) sum += x[k] * weight[k];
  return sum;
}

}  // namespace

void swiglu_mlp(const SwigluMlpArgs& args, MatrixView<const double> gate, MatrixView<const double> up,
                MatrixView<const double> down) {
  std::vector<double> hidden(up.rows);
  for (std::size_t t = 0; t < args.x.rows; ++t) {
    const float* x = args.x.row(t);
    for (std::size_t j = 0; j < up.rows; ++j)
      hidden[j] = activate(Activation::silu, product(x, gate.row(j), gate.columns, args.gate_bias, j)) *
                  product(x, up.row(j), up.columns, args.up_bias, j);
    for (std::size_t i = 0; i < down.rows; ++i) {
      const double residual = args.residual.empty() ? 0.0 : args.residual.row(t)[i];
      args.y.row(t)[i] =
          static_cast<float>(product(hidden.data(), down.row(i), down.columns, args.down_bias, i) + residual);
    }
  }
}

}  // namespace lexiscope::reference
