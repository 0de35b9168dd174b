// t-SNE's affinities with one sigma over all pairs. In order: prepare_global_affinities(), then
// sum_global_affinities() for all rows in ranges, then count_global_affinities() for all rows in ranges, then
// fill_global_affinities() for all rows in ranges. All share one workspace.
#pragma once

#include "kernels/cpu/context.h"
#include "lexiscope/ops/affinities.h"

namespace lexiscope::cpu {

std::size_t global_affinities_workspace(const GlobalAffinitiesArgs& args, int threads);

void prepare_global_affinities(const GlobalAffinitiesArgs& args, const Context& context);

/// row_sums[i] for the rows first .. last - 1: the sum over j of exp(-norm(x_i - x_j)^2 / 2 sigma^2).
void sum_global_affinities(const GlobalAffinitiesArgs& args, double* row_sums, std::size_t first, std::size_t last,
                           const Context& context);

/// counts[i] for the rows first .. last - 1: the pairs whose share of `sum` does not round to 0.
void count_global_affinities(const GlobalAffinitiesArgs& args, double sum, std::int64_t* counts, std::size_t first,
                             std::size_t last, const Context& context);

void fill_global_affinities(const GlobalAffinitiesArgs& args, double sum, const std::int64_t* row_offsets,
                            std::int32_t* columns, float* values, std::size_t first, std::size_t last,
                            const Context& context);

}  // namespace lexiscope::cpu
