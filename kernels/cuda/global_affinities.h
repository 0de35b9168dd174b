// One Gaussian over all pairs, computed afresh in each of three passes (sum, count, fill), so that the pairs need not
// fit in memory to be counted. In double: an exponent of 100 keeps its last digits.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lexiscope/ops/affinities.h"
#include "simt/cuda.h"

namespace lexiscope::cuda {

/// What the host reads before it allocates the result.
struct GlobalAffinitiesSummary {
  double sum;            ///< of exp(-norm(x_i - x_j)^2 / 2 sigma^2) over all pairs
  std::int64_t entries;  ///< pairs whose share of it is not 0 in f32
};

/// Bytes that all passes share: 8 a point and the summary.
std::size_t global_affinities_workspace(const GlobalAffinitiesArgs& args);

/// In the workspace.
const GlobalAffinitiesSummary* global_affinities_summary(const GlobalAffinitiesArgs& args, void* workspace);

/// Each enqueues the rows first .. last - 1 on `stream`; all memory is the device's. The one without a range, between
/// two passes, enqueues what takes all rows at once. Throw Error{kDevice} where a launch is refused.
void sum_global_affinities(const GlobalAffinitiesArgs& args, std::size_t first, std::size_t last, void* workspace,
                           cudaStream_t stream);
void add_global_sums(const GlobalAffinitiesArgs& args, void* workspace, cudaStream_t stream);
void count_global_affinities(const GlobalAffinitiesArgs& args, std::int64_t* row_offsets, std::size_t first,
                             std::size_t last, void* workspace, cudaStream_t stream);
void scan_global_offsets(const GlobalAffinitiesArgs& args, std::int64_t* row_offsets, void* workspace,
                         cudaStream_t stream);
void fill_global_affinities(const GlobalAffinitiesArgs& args, const std::int64_t* row_offsets, std::int32_t* columns,
                            float* values, std::size_t first, std::size_t last, void* workspace, cudaStream_t stream);

}  // namespace lexiscope::cuda
