// The projection on the engines: the check that all share, and the calls into the kernels.
#include "kernels/cpu/projection.h"

#include "host/core/control.h"
#include "host/core/require.h"
#include "host/core/views.h"
#include "host/engines/engines.h"
#include "kernels/reference/projection.h"

namespace lexiscope {
namespace {

constexpr std::size_t kReferenceChunk = 64;  // rows: milliseconds in plain loops

}  // namespace

void Engine::projection(const ProjectionArgs& args) {
  const auto [n, d] = std::pair{args.x.rows, args.x.columns};
  const std::size_t k = args.components.rows;
  require(args.mean.empty() || args.mean.size == d, "projection: mean has {} elements, x has {} columns",
          args.mean.size, d);
  require(args.components.columns == d, "projection: components is [{}, {}], x has {} columns", k,
          args.components.columns, d);
  require(args.scores.rows == n && args.scores.columns == k, "projection: scores is [{}, {}], needs [{}, {}]",
          args.scores.rows, args.scores.columns, n, k);
  require_matrix("projection: x", args.x);
  require_matrix("projection: components", args.components);
  require_matrix("projection: scores", args.scores);
  require_apart("projection", args.scores, "scores", args.x, "x");
  check_stop(args.control);
  if (n > 0 && k > 0) do_projection(args);
}

void ReferenceEngine::do_projection(const ProjectionArgs& args) {
  for_each_chunk(args.x.rows, kReferenceChunk, args.control,
                 [&](std::size_t first, std::size_t last) { reference::project_rows(args, first, last); });
}

void CpuEngine::do_projection(const ProjectionArgs& args) {
  const auto [n, d] = std::pair{args.x.rows, args.x.columns};
  const std::size_t k = args.components.rows;
  const cpu::Context work = context(cpu::projection_workspace(d, k, threads_));
  cpu::pack_components(args, work);
  for_each_chunk(n, cpu::choose_projection_chunk(d, k), args.control,
                 [&](std::size_t first, std::size_t last) { cpu::project_rows(args, first, last, work); });
}

}  // namespace lexiscope
