// t-SNE's affinities, calibrated to a perplexity. Two rounds: conditional_affinities() for all rows in ranges, then
// transpose_affinities() and count_affinities(), which tell how much memory the result needs, then fill_affinities().
// All share one workspace.
#pragma once

#include "kernels/cpu/context.h"
#include "lexiscope/ops/affinities.h"

namespace lexiscope::cpu {

std::size_t affinities_workspace(const AffinitiesArgs& args, int threads);

/// p_.|i for the rows first .. last - 1.
void conditional_affinities(const AffinitiesArgs& args, std::size_t first, std::size_t last, const Context& context);

/// Which points have a point among their neighbours.
void transpose_affinities(const AffinitiesArgs& args, const Context& context);

/// Writes row_offsets [N + 1].
void count_affinities(const AffinitiesArgs& args, std::int64_t* row_offsets, const Context& context);

/// Writes the entries.
void fill_affinities(const AffinitiesArgs& args, const std::int64_t* row_offsets, std::int32_t* columns, float* values,
                     const Context& context);

}  // namespace lexiscope::cpu
