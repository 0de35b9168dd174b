// t-SNE's affinities, calibrated to a perplexity. Two rounds, since the number of entries is not known before: the
// first calibrates each row and sorts the entries of the matrix and its transpose, the second adds up what meets.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/sort_pairs.h"
#include "lexiscope/ops/affinities.h"

namespace lexiscope::cuda {

/// What the host reads between the rounds.
struct AffinitiesSummary {
  std::int64_t entries;       ///< of the matrix
  std::uint64_t first_wrong;  ///< i k + n of the first indices[i, n], distances[i, n] that cannot be; or kNoneWrong
};
inline constexpr std::uint64_t kNoneWrong = ~std::uint64_t{0};

/// Bytes that both rounds share: 48 for each of the N k neighbours, and what sort_pairs() needs. N >= 1.
std::size_t affinities_workspace(const AffinitiesArgs& args);

/// In the workspace.
const AffinitiesSummary* affinities_summary(const AffinitiesArgs& args, void* workspace);

/// Enqueues the first round on `stream`: writes row_offsets [N + 1] and the summary. All memory is the device's, the
/// workspace aligned to 256 bytes. Throws Error{kDevice} where a launch is refused.
SortedPairs begin_affinities(const AffinitiesArgs& args, std::int64_t* row_offsets, void* workspace,
                             cudaStream_t stream);

/// Enqueues the second: columns and values [entries].
void fill_affinities(const AffinitiesArgs& args, const SortedPairs& pairs, const std::int64_t* row_offsets,
                     std::int32_t* columns, float* values, void* workspace, cudaStream_t stream);

}  // namespace lexiscope::cuda
