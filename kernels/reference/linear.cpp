// A linear layer from its formula, in double.
#include "kernels/reference/linear.h"

#include "kernels/reference/activation.h"

namespace lexiscope::reference {

void linear(const LinearArgs& args, const Weight& weight) {
  for (std::size_t t = 0; t < args.x.rows; ++t)
    for (std::size_t j = 0; j < weight.out(); ++j) {
      const double sum = weight.product(args.x.row(t), j, args.bias);
      const double residual = args.residual.empty() ? 0.0 : args.residual.row(t)[j];
      args.y.row(t)[j] = static_cast<float>(activate(args.activation, sum) + residual);
    }
}

}  // namespace lexiscope::reference
