// Drift on the engines: the check that all share, and the calls into the kernels.
#include "kernels/cpu/drift.h"

#include "host/core/views.h"
#include "host/engines/engines.h"
#include "kernels/reference/drift.h"

namespace lexiscope {

void Engine::drift(const DriftArgs& args) {
  require_matrix("drift: before", args.before);
  require_matrix("drift: after", args.after, args.before.rows, args.before.columns);
  const std::pair<const char*, VectorView<float>> outputs[] = {
      {"norm", args.norm}, {"relative", args.relative}, {"cosine", args.cosine}};
  for (const auto& [name, output] : outputs) {
    require(output.empty() || output.size == args.before.rows, "drift: {} has {} elements, needs {}", name, output.size,
            args.before.rows);
    require_apart("drift", as_row(output), name, args.before, "before");
    require_apart("drift", as_row(output), name, args.after, "after");
    for (const auto* other = outputs; other->first != name; ++other)
      require_apart("drift", as_row(output), name, as_row(other->second), other->first);
  }
  if (args.before.rows > 0) do_drift(args);
}

void ReferenceEngine::do_drift(const DriftArgs& args) { reference::drift(args); }
void CpuEngine::do_drift(const DriftArgs& args) { cpu::drift(args, context()); }

}  // namespace lexiscope
