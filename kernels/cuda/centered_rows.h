#pragma once

#include <cuda_runtime.h>

#include "lexiscope/tensor.h"

namespace lexiscope::cuda {

/// to[i][a] = rows[i][a] - mean[a] in double, as the products of double take them; an empty mean is 0. `to` is
/// [rows.rows, rows.columns], dense. Enqueues on `stream` and returns; everything points to device memory.
void centered_rows(MatrixView<const float> rows, VectorView<const double> mean, double* to, cudaStream_t stream);

}  // namespace lexiscope::cuda
