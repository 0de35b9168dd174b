// cuBLASLt's descriptors: what its opaque objects hold here.
#pragma once

#include <cublasLt.h>

#include <cstdint>

#include "simt/cublas_call.h"

namespace lexiscope::simt {

// The attributes' own types, as cublasLt.h documents them: 32-bit integers stand for enumerations.

struct MatrixLayout {
  std::uint32_t type = CUDA_R_32F;
  std::int32_t order = CUBLASLT_ORDER_COL;
  std::uint64_t rows = 0;
  std::uint64_t columns = 0;
  std::int64_t leading_dimension = 0;
  std::int32_t batches = 1;
  std::int64_t stride = 0;
};

struct MatmulDescription {
  std::int32_t compute = CUBLAS_COMPUTE_32F;
  std::int32_t scale = CUDA_R_32F;
  std::int32_t pointer_mode = CUBLASLT_POINTER_MODE_HOST;
  std::int32_t transpose_a = CUBLAS_OP_N;
  std::int32_t transpose_b = CUBLAS_OP_N;
  std::uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;
  std::int64_t bias_stride = 0;
  std::int32_t bias_type = -1;  ///< D's
};

struct MatmulPreference {
  std::uint32_t search_mode = CUBLASLT_SEARCH_BEST_FIT;
  std::uint64_t max_workspace_bytes = 0;
  std::uint32_t reduction_schemes = CUBLASLT_REDUCTION_SCHEME_MASK;
  std::uint32_t alignment_a = 256, alignment_b = 256, alignment_c = 256, alignment_d = 256;
};

// Refused with CUBLAS_STATUS_INVALID_VALUE, or CUBLAS_STATUS_NOT_INITIALIZED for a handle, where they are unknown.
void check_handle(cublasLtHandle_t handle);
const MatrixLayout& layout_at(cublasLtMatrixLayout_t layout);
const MatmulDescription& description_at(cublasLtMatmulDesc_t description);
const MatmulPreference& preference_at(cublasLtMatmulPreference_t preference);

}  // namespace lexiscope::simt
