#pragma once

#include "kernels/cpu/context.h"
#include "lexiscope/ops/cosine_statistics.h"

namespace lexiscope::cpu {

/// How the rows of x [N, d] are cut for m directions, the same for any number of threads: chunks (between which the
/// engine looks at the stop token), and slots of a chunk that are summed apart.
struct CosineStatisticsConfig {
  std::size_t chunk_rows;
  std::size_t slots;
};
CosineStatisticsConfig choose_cosine_statistics_config(std::size_t n, std::size_t d, std::size_t m);

/// Holds the packed directions and the slots' sums from the first call below to the last.
std::size_t cosine_statistics_workspace(std::size_t n, std::size_t d, std::size_t m, int threads);

/// In this order: start, add on every chunk, finish.
void start_cosine_statistics(const CosineStatisticsArgs& args, const Context& context);
void add_to_cosine_statistics(const CosineStatisticsArgs& args, std::size_t first, std::size_t last,
                              const Context& context);
CosineStatistics finish_cosine_statistics(const CosineStatisticsArgs& args, const Context& context);

}  // namespace lexiscope::cpu
