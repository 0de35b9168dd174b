// The perceptron on the engines: the check that all share, and the calls into the kernels.
#include "kernels/cpu/gelu_mlp.h"

#include "host/core/views.h"
#include "host/engines/engines.h"
#include "host/engines/packed_matrix.h"
#include "kernels/reference/gelu_mlp.h"

namespace lexiscope {

void Engine::gelu_mlp(const GeluMlpArgs& args) {
  const auto [rows, d] = std::pair{args.x.rows, args.x.columns};
  require_weight(args.up, name(), d, "gelu_mlp: up");
  const std::size_t m = args.up->rows();
  require_weight(args.down, name(), m, "gelu_mlp: down");
  require(args.down->rows() == d, "gelu_mlp: down is [{}, {}], needs [{}, {}]", args.down->rows(), args.down->columns(),
          d, m);
  require(args.activation == Activation::gelu_erf || args.activation == Activation::gelu_tanh,
          "gelu_mlp: activation is {}, needs to be gelu_erf or gelu_tanh",
          args.activation == Activation::none ? "none" : "silu");
  require_matrix("gelu_mlp: x", args.x);
  require_vector_if_any("gelu_mlp: up_bias", args.up_bias, m);
  require_vector_if_any("gelu_mlp: down_bias", args.down_bias, d);
  require_matrix_if_any("gelu_mlp: residual", args.residual, rows, d);
  require_matrix("gelu_mlp: y", args.y, rows, d);
  require_apart("gelu_mlp", args.y, "y", args.x, "x");
  require_apart("gelu_mlp", args.y, "y", as_row(args.up_bias), "up_bias");
  require_apart("gelu_mlp", args.y, "y", as_row(args.down_bias), "down_bias");
  require_apart_or_same("gelu_mlp", args.y, "y", args.residual, "residual");
  if (rows > 0) do_gelu_mlp(args);
}

void ReferenceEngine::do_gelu_mlp(const GeluMlpArgs& args) {
  reference::gelu_mlp(args, static_cast<const ReferencePackedMatrix&>(*args.up).view(),
                      static_cast<const ReferencePackedMatrix&>(*args.down).view());
}

void CpuEngine::do_gelu_mlp(const GeluMlpArgs& args) {
  const std::size_t rows = args.x.rows;
  const auto work = cpu::gelu_mlp(args, weights_of(args.up, rows), weights_of(args.down, rows));
  cpu::perceptron(work, context(cpu::perceptron_workspace(work, context())));
}

}  // namespace lexiscope
