// Drift on the engines: the check that all share, and the calls into the kernels.
#include "kernels/cpu/drift.h"

#include <iterator>

#include "host/core/views.h"
#include "host/engines/engines.h"
#include "kernels/reference/drift.h"

namespace lexiscope {

void Engine::drift(const DriftArgs& args) {
  require_matrix("drift: before", args.before);
  require_matrix("drift: after", args.after, args.before.rows, args.before.columns);
  const std::pair<const char*, VectorView<float>> outputs[] = {
      {"norm", args.norm}, {"relative", args.relative}, {"cosine", args.cosine}};
  for (std::size_t i = 0; i < std::size(outputs); ++i) {
    const auto& [name, output] = outputs[i];
    require(output.empty() || output.size == args.before.rows, "drift: {} has {} elements, needs {}", name, output.size,
            args.before.rows);
    require_apart("drift", as_row(output), name, args.before, "before");
    require_apart("drift", as_row(output), name, args.after, "after");
    for (std::size_t j = 0; j < i; ++j)
      require_apart("drift", as_row(output), name, as_row(outputs[j].second), outputs[j].first);
  }
  if (args.before.rows > 0) do_drift(args);
}

void ReferenceEngine::do_drift(const DriftArgs& args) { reference::drift(args); }
void CpuEngine::do_drift(const DriftArgs& args) { cpu::drift(args, context()); }

}  // namespace lexiscope
