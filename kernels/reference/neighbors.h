#pragma once

#include "lexiscope/ops/neighbors.h"

namespace lexiscope::reference {
/// The lists of queries first .. last - 1 (rows of `queries`, or of `points` where there are no queries).
void neighbors(const NeighborsArgs& args, std::size_t first, std::size_t last);
}  // namespace lexiscope::reference
