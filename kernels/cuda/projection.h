#pragma once

#include <cuda_runtime.h>

#include "lexiscope/ops/projection.h"

namespace lexiscope::cuda {

/// to = scores rounded to f32, of dense scores [to.rows, to.columns]. Enqueues on `stream` and returns; everything
/// points to device memory.
void round_scores(const double* scores, MatrixView<float> to, cudaStream_t stream);

}  // namespace lexiscope::cuda
