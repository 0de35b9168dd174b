// The neighbour search on the engines: the check that all share, and the calls into the kernels in chunks of queries.
#include "kernels/cpu/neighbors.h"

#include <limits>

#include "host/core/control.h"
#include "host/core/finite.h"
#include "host/core/require.h"
#include "host/engines/engines.h"
#include "kernels/reference/neighbors.h"

namespace lexiscope {

void Engine::neighbors(const NeighborsArgs& args) {
  const auto [N, d, k] = std::tuple{args.points.rows, args.points.columns, args.indices.columns};
  const bool self = args.queries.empty();
  const std::size_t M = self ? N : args.queries.rows, candidates = self && N > 0 ? N - 1 : N;
  require(args.indices.rows == M && args.distances.rows == M && args.distances.columns == k,
          "neighbors: indices are [{}, {}] and distances [{}, {}], both need to be [{}, k]", args.indices.rows, k,
          args.distances.rows, args.distances.columns, M);
  if (M == 0) return;
  require(d > 0, "neighbors: points have 0 columns, need at least 1");
  require(self || args.queries.columns == d, "neighbors: queries have {} columns, points have {}", args.queries.columns,
          d);
  require(N <= std::numeric_limits<std::int32_t>::max(), "neighbors: {} points are more than indices can count", N);
  require(k >= 1 && k <= candidates, "neighbors: k is {}, needs to be 1 to {}: {} points{}", k, candidates, N,
          self ? ", each without itself" : "");
  if (memory_is_host()) require_finite("neighbors", "points", args.points, threads());
  if (memory_is_host() && !self) require_finite("neighbors", "queries", args.queries, threads());
  do_neighbors(args);
}

void ReferenceEngine::do_neighbors(const NeighborsArgs& args) {
  for_each_chunk(args.indices.rows, 1, args.control,
                 [&](std::size_t first, std::size_t last) { reference::neighbors(args, first, last); });
}

void CpuEngine::do_neighbors(const NeighborsArgs& args) {
  const auto config = cpu::choose_neighbors_config(args, threads_);
  const auto context_now = context(cpu::neighbors_workspace(args, config, threads_));
  check_stop(args.control);
  cpu::prepare_neighbors(args, config, context_now);
  for_each_chunk(args.indices.rows, config.rows_per_call, args.control,
                 [&](std::size_t first, std::size_t last) { cpu::neighbors(args, config, first, last, context_now); });
}

}  // namespace lexiscope
