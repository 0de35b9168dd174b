// RMSNorm on the engines: the check that all share, and the calls into the kernels.
#include "kernels/cpu/rms_norm.h"

#include "host/core/views.h"
#include "host/engines/engines.h"
#include "kernels/reference/rms_norm.h"

namespace lexiscope {

void Engine::rms_norm(const RmsNormArgs& args) {
  const auto [rows, d] = std::pair{args.x.rows, args.x.columns};
  require(d > 0, "rms_norm: x has {} columns, needs at least 1", d);
  require(args.epsilon > 0, "rms_norm: epsilon is {}, needs to be positive", args.epsilon);
  require_matrix("rms_norm: x", args.x);
  require_vector("rms_norm: gain", args.gain, d);
  require_matrix("rms_norm: y", args.y, rows, d);
  require_apart_or_same("rms_norm", args.y, "y", args.x, "x");
  require_apart("rms_norm", args.y, "y", as_row(args.gain), "gain");
  if (rows > 0) do_rms_norm(args);
}

void ReferenceEngine::do_rms_norm(const RmsNormArgs& args) { reference::rms_norm(args); }
void CpuEngine::do_rms_norm(const RmsNormArgs& args) { cpu::rms_norm(args, context()); }

}  // namespace lexiscope
