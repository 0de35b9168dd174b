// The covariance on the engines: the check that all share, and the calls into the kernels.
#include "kernels/cpu/covariance.h"

#include "host/core/control.h"
#include "host/core/finite.h"
#include "host/core/require.h"
#include "host/core/views.h"
#include "host/engines/engines.h"
#include "kernels/reference/covariance.h"

namespace lexiscope {

void Engine::covariance(const CovarianceArgs& args) {
  const auto [n, d] = std::pair{args.x.rows, args.x.columns};
  require(n > 0 && d > 0, "covariance: x is [{}, {}], needs at least 1 row and 1 column", n, d);
  require(args.mean.size == d, "covariance: mean has {} elements, x has {} columns", args.mean.size, d);
  require(args.covariance.rows == d && args.covariance.columns == d,
          "covariance: covariance is [{}, {}], needs [{}, {}]", args.covariance.rows, args.covariance.columns, d, d);
  require_matrix("covariance: x", args.x);
  require_matrix("covariance: covariance", args.covariance);
  check_stop(args.control);
  require_finite("covariance", "x", args.x, threads());
  do_covariance(args);
}

void ReferenceEngine::do_covariance(const CovarianceArgs& args) {
  reference::mean_row(args.x, args.mean);
  for_each_chunk(args.x.columns, 1, args.control,
                 [&](std::size_t first, std::size_t last) { reference::covariance_rows(args, first, last); });
}

void CpuEngine::do_covariance(const CovarianceArgs& args) {
  const auto [n, d] = std::pair{args.x.rows, args.x.columns};
  const cpu::Context work = context(cpu::covariance_workspace(n, d, threads_));
  const std::size_t chunk = cpu::choose_covariance_config(n, d).chunk_rows;
  for (std::size_t first = 0; first < n; first += chunk) {
    check_stop(args.control);
    cpu::add_to_mean(args, first, std::min(n, first + chunk), work);
  }
  cpu::finish_mean(args, work);
  for_each_chunk(n, chunk, args.control,
                 [&](std::size_t first, std::size_t last) { cpu::add_to_covariance(args, first, last, work); });
  cpu::finish_covariance(args, work);
}

}  // namespace lexiscope
