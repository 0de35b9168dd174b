#pragma once

#include <cuda_runtime.h>

#include "lexiscope/ops/convert.h"

namespace lexiscope::cuda {

struct ConvertConfig {
  std::size_t rows, columns;  ///< dense views are one row
  unsigned vector_width;      ///< elements a load and a store: 4 where columns, strides and pointers allow it, else 1
};

ConvertConfig choose_convert_config(const ConvertArgs& args);

/// Enqueues on `stream` and returns; args point to device memory.
void convert(const ConvertArgs& args, const ConvertConfig& config, cudaStream_t stream);

}  // namespace lexiscope::cuda
