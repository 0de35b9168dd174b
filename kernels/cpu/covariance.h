#pragma once

#include "kernels/cpu/context.h"
#include "lexiscope/ops/covariance.h"

namespace lexiscope::cpu {

/// How the work on [N, d] is cut, the same for any number of threads: rows in chunks (between which the engine looks
/// at the stop token), the rows of a chunk in slots that are summed apart, and columns in tiles.
struct CovarianceConfig {
  std::size_t chunk_rows;
  std::size_t slots;
};
CovarianceConfig choose_covariance_config(std::size_t n, std::size_t d);

/// Holds the slots' sums from the first call below to the last: one workspace for the three.
std::size_t covariance_workspace(std::size_t n, std::size_t d, int threads);

/// The mean takes add_to_mean on every chunk in order, `first` being 0 for the first of them, then finish_mean.
void add_to_mean(const CovarianceArgs& args, std::size_t first, std::size_t last, const Context& context);
void finish_mean(const CovarianceArgs& args, const Context& context);

/// The covariance about the finished mean, in the same way.
void add_to_covariance(const CovarianceArgs& args, std::size_t first, std::size_t last, const Context& context);
void finish_covariance(const CovarianceArgs& args, const Context& context);

}  // namespace lexiscope::cpu
