// The divergence of a t-SNE map on the engines: the checks that all share, and the calls into the kernels.
#include "kernels/cpu/tsne_kl.h"

#include <algorithm>

#include "host/core/control.h"
#include "host/core/views.h"
#include "host/engines/engines.h"
#include "host/engines/tsne_checks.h"
#include "kernels/reference/tsne_kl.h"

namespace lexiscope {
namespace {

// Pairs between two looks at the stop token: tens of milliseconds, on the scalar target too.
constexpr std::size_t kPairsPerChunk = std::size_t{1} << 25;

void require_contents(const TsneKlArgs& args, int threads) {
  require_affinities_contents("tsne_kl", *args.affinities);
  require_positions("tsne_kl", args.positions, threads);
  const auto values = args.affinities->values.vector<float>();
  require(std::any_of(values.data, values.data + values.size, [](float p) { return p > 0; }),
          "tsne_kl: affinities has no positive value among {} entries", values.size);
}

}  // namespace

double Engine::tsne_kl(const TsneKlArgs& args) {
  require_affinities_shape("tsne_kl", args.affinities);
  require_matrix("tsne_kl: positions", args.positions);
  require(args.positions.columns == 2 || args.positions.columns == 3, "tsne_kl: positions has {} columns, needs 2 or 3",
          args.positions.columns);
  require(args.positions.rows == args.affinities->rows(), "tsne_kl: positions has {} rows, affinities has {}",
          args.positions.rows, args.affinities->rows());
  return do_tsne_kl(args);
}

double ReferenceEngine::do_tsne_kl(const TsneKlArgs& args) {
  require_contents(args, threads());
  check_stop(args.control);
  return reference::tsne_kl(args);
}

double CpuEngine::do_tsne_kl(const TsneKlArgs& args) {
  require_contents(args, threads());
  const std::size_t n = args.positions.rows;
  const cpu::Context work_context = context(cpu::tsne_kl_workspace(n, args.positions.columns));
  const cpu::TsneKlWork work = cpu::start_tsne_kl(args, work_context);
  double pairs = 0;
  for_each_chunk(
      n, std::max<std::size_t>(kPairsPerChunk / n, 1), args.control,
      [&](std::size_t first, std::size_t last) { pairs += cpu::tsne_kl_pairs(work, first, last, work_context); });
  return cpu::finish_tsne_kl(args, work, 2 * pairs, work_context);
}

}  // namespace lexiscope
