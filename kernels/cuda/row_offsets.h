// From how many entries each row of a sparse matrix has to where they begin.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace lexiscope::cuda {

/// Enqueues on `stream`: of counts in row_offsets [1 ... rows] their running sums, 0 before them, and the last in
/// *total. Device memory, all of it.
void scan_row_offsets(std::int64_t* row_offsets, std::size_t rows, std::int64_t* total, cudaStream_t stream);

}  // namespace lexiscope::cuda
