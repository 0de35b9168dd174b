// Cosine statistics on the engines: the check that all share, and the calls into the kernels.
#include "kernels/cpu/cosine_statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "host/core/control.h"
#include "host/core/finite.h"
#include "host/core/require.h"
#include "host/core/views.h"
#include "host/engines/engines.h"
#include "kernels/reference/cosine_statistics.h"
#include "kernels/reference/covariance.h"

namespace lexiscope {

CosineStatistics Engine::cosine_statistics(const CosineStatisticsArgs& args) {
  const auto [n, d] = std::pair{args.x.rows, args.x.columns};
  require(n > 0 && d > 0, "cosine_statistics: x is [{}, {}], needs at least 1 row and 1 column", n, d);
  require(args.directions.empty() || (args.directions.columns == d && args.directions.rows > 0),
          "cosine_statistics: directions is [{}, {}], needs at least 1 row and the {} columns of x",
          args.directions.rows, args.directions.columns, d);
  require(args.norms.empty() || args.norms.size == n, "cosine_statistics: norms has {} elements, x has {} rows",
          args.norms.size, n);
  require(args.mean.empty() || args.mean.size == d, "cosine_statistics: mean has {} elements, x has {} columns",
          args.mean.size, d);
  require_matrix("cosine_statistics: x", args.x);
  require_matrix("cosine_statistics: directions", args.directions);
  check_stop(args.control);
  require_finite("cosine_statistics", "x", args.x, threads());
  return do_cosine_statistics(args);
}

CosineStatistics ReferenceEngine::do_cosine_statistics(const CosineStatisticsArgs& args) {
  const auto n = static_cast<double>(args.x.rows);
  const std::vector<double> norms = reference::row_norms(args.x);
  std::vector<double> mean(args.x.columns);
  reference::mean_row(args.x, {mean.data(), mean.size()});
  if (!args.norms.empty()) std::copy(norms.begin(), norms.end(), args.norms.data);
  if (!args.mean.empty()) std::copy(mean.begin(), mean.end(), args.mean.data);

  double cosines = 0, least = std::numeric_limits<double>::infinity(), most = -least;
  for (std::size_t i = 0; i < args.x.rows; ++i) {
    check_stop(args.control);
    cosines += reference::sum_of_cosines(args.x, norms, i, i + 1);
  }
  for_each_chunk(args.directions.rows, 1, args.control, [&](std::size_t j, std::size_t) {
    for (const double sign : {1.0, -1.0}) {
      const double log_z = reference::log_partition(args.x, args.directions.row(j), sign);
      least = std::min(least, log_z);
      most = std::max(most, log_z);
    }
  });
  return {.mean_norm = std::reduce(norms.begin(), norms.end()) / n,
          .norm_of_mean = std::sqrt(std::inner_product(mean.begin(), mean.end(), mean.begin(), 0.0)),
          .mean_cosine = args.x.rows < 2 ? 0 : cosines / (n * (n - 1) / 2),
          .isotropy = args.directions.empty() ? std::numeric_limits<double>::quiet_NaN() : std::exp(least - most)};
}

CosineStatistics CpuEngine::do_cosine_statistics(const CosineStatisticsArgs& args) {
  const auto [n, d] = std::pair{args.x.rows, args.x.columns};
  const std::size_t m = args.directions.rows;
  const cpu::Context work = context(cpu::cosine_statistics_workspace(n, d, m, threads_));
  cpu::start_cosine_statistics(args, work);
  for_each_chunk(n, cpu::choose_cosine_statistics_config(n, d, m).chunk_rows, args.control,
                 [&](std::size_t first, std::size_t last) { cpu::add_to_cosine_statistics(args, first, last, work); });
  return cpu::finish_cosine_statistics(args, work);
}

}  // namespace lexiscope
