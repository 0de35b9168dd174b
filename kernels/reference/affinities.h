#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "lexiscope/ops/affinities.h"

namespace lexiscope::reference {

struct SparseRows {
  std::vector<std::int64_t> row_offsets;
  std::vector<std::int32_t> columns;
  std::vector<float> values;
};

/// p_.|i of one point from the distances to its neighbours.
std::vector<double> calibrated_row(std::span<const float> distances, double perplexity);

SparseRows affinities(const AffinitiesArgs& args);

/// No rows where every pair underflows.
SparseRows global_affinities(const GlobalAffinitiesArgs& args);

}  // namespace lexiscope::reference
