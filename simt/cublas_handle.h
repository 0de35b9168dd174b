// What the calls of cuBLAS share: their handle, and the check of a workspace.
#pragma once

#include <cublas_v2.h>

#include <cstddef>

#include "simt/cublas_call.h"

namespace lexiscope::simt {

Handles<cublasContext>& blas_handles();

/// Refused with CUBLAS_STATUS_NOT_INITIALIZED where the handle is unknown.
cublasContext& context_of(cublasHandle_t handle);

/// Aligned to 256 bytes, and memory of the device.
void check_workspace(const void* workspace, std::size_t bytes);

}  // namespace lexiscope::simt
