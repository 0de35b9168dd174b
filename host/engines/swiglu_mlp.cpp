// The gated perceptron on the engines: the check that all share, and the calls into the kernels.
#include "kernels/cpu/swiglu_mlp.h"

#include "host/core/views.h"
#include "host/engines/engines.h"
#include "host/engines/packed_matrix.h"
#include "kernels/reference/swiglu_mlp.h"

namespace lexiscope {

void Engine::swiglu_mlp(const SwigluMlpArgs& args) {
  const auto [rows, d] = std::pair{args.x.rows, args.x.columns};
  require_weight(args.gate, name(), d, "swiglu_mlp: gate");
  require_weight(args.up, name(), d, "swiglu_mlp: up");
  const std::size_t m = args.up->rows();
  require(args.gate->rows() == m, "swiglu_mlp: gate is [{}, {}], needs [{}, {}]", args.gate->rows(),
          args.gate->columns(), m, d);
  require_weight(args.down, name(), m, "swiglu_mlp: down");
  require(args.down->rows() == d, "swiglu_mlp: down is [{}, {}], needs [{}, {}]", args.down->rows(),
          args.down->columns(), d, m);
  require_matrix("swiglu_mlp: x", args.x);
  require_vector_if_any("swiglu_mlp: gate_bias", args.gate_bias, m);
  require_vector_if_any("swiglu_mlp: up_bias", args.up_bias, m);
  require_vector_if_any("swiglu_mlp: down_bias", args.down_bias, d);
  require_matrix_if_any("swiglu_mlp: residual", args.residual, rows, d);
  require_matrix("swiglu_mlp: y", args.y, rows, d);
  require_apart("swiglu_mlp", args.y, "y", args.x, "x");
  require_apart("swiglu_mlp", args.y, "y", as_row(args.gate_bias), "gate_bias");
  require_apart("swiglu_mlp", args.y, "y", as_row(args.up_bias), "up_bias");
  require_apart("swiglu_mlp", args.y, "y", as_row(args.down_bias), "down_bias");
  require_apart_or_same("swiglu_mlp", args.y, "y", args.residual, "residual");
  if (rows > 0) do_swiglu_mlp(args);
}

void ReferenceEngine::do_swiglu_mlp(const SwigluMlpArgs& args) {
  reference::swiglu_mlp(args, static_cast<const ReferencePackedMatrix&>(*args.gate).view(),
                        static_cast<const ReferencePackedMatrix&>(*args.up).view(),
                        static_cast<const ReferencePackedMatrix&>(*args.down).view());
}

void CpuEngine::do_swiglu_mlp(const SwigluMlpArgs& args) {
  const std::size_t rows = args.x.rows;
  const auto work =
      cpu::swiglu_mlp(args, weights_of(args.gate, rows), weights_of(args.up, rows), weights_of(args.down, rows));
  cpu::perceptron(work, context(cpu::perceptron_workspace(work, context())));
}

}  // namespace lexiscope
