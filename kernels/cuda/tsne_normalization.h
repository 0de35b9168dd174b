// The last step of a repulsion: Z from the shares of its blocks.
#pragma once

#include "kernels/cuda/tsne_state.h"

namespace lexiscope::cuda {

struct TsneShares {
  const double* values;
  std::size_t count;
};

/// Z = the sum of the shares in a fixed order, and `offset`; into the status, with 1 / Z. Enqueues and returns.
void tsne_normalization(const TsneState& state, const TsneShares& shares, double offset, cudaStream_t stream);

}  // namespace lexiscope::cuda
