// Inputs that benchmarks share.
#pragma once

#include <cstddef>
#include <vector>

namespace lexiscope::bench {

/// Normal values, the same for the same seed; made on all cores, since a GPU is done with them sooner than one core.
std::vector<float> normal_values(std::size_t count, unsigned seed);

}  // namespace lexiscope::bench
