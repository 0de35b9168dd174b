// cuBLASLt: which algorithms a product has, and the product with its epilogue.
#include <cublasLt.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <iterator>

#include "simt/cublas_handle.h"
#include "simt/cublas_lt_descriptors.h"
#include "simt/cublas_product.h"

using namespace lexiscope::simt;

namespace {

// Two algorithms, in the order that the heuristic offers them: the first needs a workspace, as fast ones do, so that a
// caller that hands in too little is found out. Both need the alignments that the caller's preference promised, which a
// device would rely on unasked.
constexpr std::uint64_t kAlgorithmMark = 0x6c65786973636f70;
constexpr std::size_t kWorkspaceBytes = std::size_t{1} << 20;

cublasLtMatmulAlgo_t algorithm(std::size_t workspace_bytes, const MatmulPreference& preference) {
  cublasLtMatmulAlgo_t made{};
  const std::uint64_t values[] = {kAlgorithmMark,         workspace_bytes,        preference.alignment_a,
                                  preference.alignment_b, preference.alignment_c, preference.alignment_d};
  std::ranges::copy(values, made.data);
  return made;
}

cudaDataType type_of(const MatrixLayout& layout) { return static_cast<cudaDataType>(layout.type); }

// The combinations of cublasLtMatmul's table with real inputs of one type and sums in f32 or f64.
void check_types(const MatmulDescription& description, cudaDataType a, cudaDataType b, cudaDataType c, cudaDataType d) {
  const bool low = a == CUDA_R_16BF || a == CUDA_R_16F;
  bool supported = a == b && c == d;
  switch (description.compute) {
    case CUBLAS_COMPUTE_64F:
      supported = supported && a == CUDA_R_64F && d == CUDA_R_64F && description.scale == CUDA_R_64F;
      break;
    case CUBLAS_COMPUTE_32F_FAST_TF32:
      supported = supported && a == CUDA_R_32F && d == CUDA_R_32F && description.scale == CUDA_R_32F;
      break;
    case CUBLAS_COMPUTE_32F:
    case CUBLAS_COMPUTE_32F_PEDANTIC:
      supported = supported && (low ? d == a || d == CUDA_R_32F : a == CUDA_R_32F && d == CUDA_R_32F) &&
                  description.scale == CUDA_R_32F;
      break;
    default:
      supported = false;
  }
  const bool own_bias = description.bias_type == -1 || description.bias_type == d;
  require(supported && own_bias, CUBLAS_STATUS_NOT_SUPPORTED);
}

Matrix matrix(const MatrixLayout& layout, const void* data) {
  require(layout.order == CUBLASLT_ORDER_COL, CUBLAS_STATUS_NOT_SUPPORTED);
  require(layout.rows > 0 && layout.columns > 0, CUBLAS_STATUS_INVALID_VALUE);
  require(layout.leading_dimension >= static_cast<std::int64_t>(layout.rows), CUBLAS_STATUS_INVALID_VALUE);
  return {.data = const_cast<void*>(data),
          .type = type_of(layout),
          .rows = static_cast<std::int64_t>(layout.rows),
          .columns = static_cast<std::int64_t>(layout.columns),
          .leading_dimension = layout.leading_dimension,
          .stride = layout.stride};
}

bool transposed(std::int32_t operation) {
  require(operation == CUBLAS_OP_N || operation == CUBLAS_OP_T || operation == CUBLAS_OP_C,
          CUBLAS_STATUS_INVALID_VALUE);
  return operation != CUBLAS_OP_N;
}

void set_epilogue(Product& product, const MatmulDescription& description) {
  const auto epilogue = static_cast<cublasLtEpilogue_t>(description.epilogue);
  switch (epilogue) {
    case CUBLASLT_EPILOGUE_DEFAULT:
    case CUBLASLT_EPILOGUE_BIAS:
      break;
    case CUBLASLT_EPILOGUE_RELU:
    case CUBLASLT_EPILOGUE_RELU_BIAS:
      product.relu = true;
      break;
    case CUBLASLT_EPILOGUE_GELU:
    case CUBLASLT_EPILOGUE_GELU_BIAS:
      product.gelu = true;
      break;
    default:
      throw BlasRefusal{CUBLAS_STATUS_NOT_SUPPORTED};
  }
  if ((description.epilogue & CUBLASLT_EPILOGUE_BIAS) == 0) return;
  require(description.bias != nullptr, CUBLAS_STATUS_INVALID_VALUE);
  product.bias = description.bias;
  product.bias_stride = description.bias_stride;
}

void check_shapes(const Product& product) {
  const auto rows = [](const Matrix& matrix, bool transpose) { return transpose ? matrix.columns : matrix.rows; };
  require(rows(product.a, product.transpose_a) == product.m() && rows(product.b, product.transpose_b) == product.k() &&
              rows(product.b, !product.transpose_b) == product.n() && product.c.rows == product.m() &&
              product.c.columns == product.n(),
          CUBLAS_STATUS_INVALID_VALUE);
}

struct Layouts {
  const MatrixLayout &a, &b, &c, &d;
};

struct Data {
  const void* a = nullptr;
  const void* b = nullptr;
  const void* c = nullptr;
  void* d = nullptr;
};

Product product_of(const MatmulDescription& description, const Layouts& layouts, const Data& data) {
  Product product;
  product.function = "cublasLtMatmul";
  require(description.pointer_mode == CUBLASLT_POINTER_MODE_HOST, CUBLAS_STATUS_NOT_SUPPORTED);
  check_types(description, type_of(layouts.a), type_of(layouts.b), type_of(layouts.c), type_of(layouts.d));
  product.transpose_a = transposed(description.transpose_a);
  product.transpose_b = transposed(description.transpose_b);
  product.a = matrix(layouts.a, data.a);
  product.b = matrix(layouts.b, data.b);
  product.c = matrix(layouts.c, data.c);
  product.d = matrix(layouts.d, data.d);
  check_shapes(product);
  product.batches = layouts.d.batches;
  require(product.batches > 0, CUBLAS_STATUS_INVALID_VALUE);
  for (const MatrixLayout* other : {&layouts.a, &layouts.b, &layouts.c})
    require(other->batches == product.batches, CUBLAS_STATUS_INVALID_VALUE);
  product.tf32 = description.compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  set_epilogue(product, description);
  return product;
}

double scalar(const void* value, std::int32_t type) {
  require(value != nullptr, CUBLAS_STATUS_INVALID_VALUE);
  return type == CUDA_R_64F ? *static_cast<const double*>(value) : *static_cast<const float*>(value);
}

// No algorithm asks cuBLASLt to choose one that the workspace allows.
void check_algorithm(const cublasLtMatmulAlgo_t* chosen, const Data& data, const void* workspace,
                     std::size_t workspace_bytes) {
  check_workspace(workspace, workspace == nullptr ? 0 : workspace_bytes);
  if (chosen == nullptr) return;
  require(chosen->data[0] == kAlgorithmMark, CUBLAS_STATUS_INVALID_VALUE);
  const std::size_t available = workspace == nullptr ? 0 : workspace_bytes;
  require(chosen->data[1] <= available, CUBLAS_STATUS_INVALID_VALUE);
  const void* const pointers[] = {data.a, data.b, data.c, data.d};
  for (std::size_t i = 0; i < std::size(pointers); ++i)
    require(reinterpret_cast<std::uintptr_t>(pointers[i]) % chosen->data[2 + i] == 0, CUBLAS_STATUS_INVALID_VALUE);
}

}  // namespace

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t description,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int requested,
                                              cublasLtMatmulHeuristicResult_t results[], int* returned) {
  return blas_call("cublasLtMatmulAlgoGetHeuristic", [&] {
    check_handle(handle);
    require(requested > 0 && results != nullptr && returned != nullptr, CUBLAS_STATUS_INVALID_VALUE);
    *returned = 0;
    // A product that cannot be is no product for which there is an algorithm.
    product_of(description_at(description), {layout_at(a), layout_at(b), layout_at(c), layout_at(d)}, {});
    for (const std::size_t workspace : {kWorkspaceBytes, std::size_t{0}}) {
      if (*returned == requested || workspace > preference_at(preference).max_workspace_bytes) continue;
      results[(*returned)++] = {.algo = algorithm(workspace, preference_at(preference)),
                                .workspaceSize = workspace,
                                .state = CUBLAS_STATUS_SUCCESS,
                                .wavesCount = 1,
                                .reserved = {}};
    }
  });
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t description, const void* alpha,
                              const void* a, cublasLtMatrixLayout_t layout_a, const void* b,
                              cublasLtMatrixLayout_t layout_b, const void* beta, const void* c,
                              cublasLtMatrixLayout_t layout_c, void* d, cublasLtMatrixLayout_t layout_d,
                              const cublasLtMatmulAlgo_t* chosen, void* workspace, std::size_t workspace_bytes,
                              cudaStream_t stream) {
  return blas_call("cublasLtMatmul", [&] {
    check_handle(handle);
    const MatmulDescription& described = description_at(description);
    const Layouts layouts{layout_at(layout_a), layout_at(layout_b), layout_at(layout_c), layout_at(layout_d)};
    const Data data{a, b, c, d};
    Product product = product_of(described, layouts, data);
    product.alpha = scalar(alpha, described.scale);
    product.beta = scalar(beta, described.scale);
    require(a != nullptr && b != nullptr && d != nullptr, CUBLAS_STATUS_INVALID_VALUE);
    require(c != nullptr || product.beta == 0, CUBLAS_STATUS_INVALID_VALUE);
    check_algorithm(chosen, data, workspace, workspace_bytes);
    enqueue_product(product, stream);
  });
}
