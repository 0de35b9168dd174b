// LayerNorm on the engines: the check that all share, and the calls into the kernels.
#include "kernels/cpu/layer_norm.h"

#include "host/core/views.h"
#include "host/engines/engines.h"
#include "kernels/reference/layer_norm.h"

namespace lexiscope {

void Engine::layer_norm(const LayerNormArgs& args) {
  const auto [rows, d] = std::pair{args.x.rows, args.x.columns};
  require(d > 0, "layer_norm: x has {} columns, needs at least 1", d);
  require(args.epsilon > 0, "layer_norm: epsilon is {}, needs to be positive", args.epsilon);
  require_matrix("layer_norm: x", args.x);
  require_matrix_if_any("layer_norm: residual", args.residual, rows, d);
  require_vector("layer_norm: gain", args.gain, d);
  require_vector_if_any("layer_norm: bias", args.bias, d);
  require_matrix("layer_norm: y", args.y, rows, d);
  require_apart_or_same("layer_norm", args.y, "y", args.x, "x");
  require_apart_or_same("layer_norm", args.y, "y", args.residual, "residual");
  require_apart("layer_norm", args.y, "y", as_row(args.gain), "gain");
  require_apart("layer_norm", args.y, "y", as_row(args.bias), "bias");
  if (rows > 0) do_layer_norm(args);
}

void ReferenceEngine::do_layer_norm(const LayerNormArgs& args) { reference::layer_norm(args); }
void CpuEngine::do_layer_norm(const LayerNormArgs& args) { cpu::layer_norm(args, context()); }

}  // namespace lexiscope
