// cuBLASLt counts matrices by columns, so what it computes is y^T [out, T] = W x^T: our rows are its columns, and W as
// it lies is its transpose.
#include <memory>
#include <string>
#include <type_traits>

#include "kernels/cuda/cublas_lt_product.h"
#include "lexiscope/error.h"

namespace lexiscope::cuda {
namespace {

void check(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw Error(ErrorCode::kDevice, std::string(call) + " failed: " + cublasLtGetStatusName(status));
}

// One of cuBLASLt's descriptions, until the end of its scope.
template <typename Handle>
using Owned = std::unique_ptr<std::remove_pointer_t<Handle>, cublasStatus_t (*)(Handle)>;

Owned<cublasLtMatrixLayout_t> layout_of(DType dtype, std::size_t columns, std::size_t rows, std::size_t stride) {
  cublasLtMatrixLayout_t layout = nullptr;
  check(cublasLtMatrixLayoutCreate(&layout, dtype == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F, columns, rows,
                                   static_cast<std::int64_t>(stride)),
        "cublasLtMatrixLayoutCreate");
  return {layout, cublasLtMatrixLayoutDestroy};
}

Owned<cublasLtMatmulDesc_t> product_of(const VectorView<const float>& bias) {
  cublasLtMatmulDesc_t made = nullptr;
  check(cublasLtMatmulDescCreate(&made, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublasLtMatmulDescCreate");
  Owned<cublasLtMatmulDesc_t> product(made, cublasLtMatmulDescDestroy);
  const auto set = [&](cublasLtMatmulDescAttributes_t attribute, const auto& value) {
    check(cublasLtMatmulDescSetAttribute(made, attribute, &value, sizeof value), "cublasLtMatmulDescSetAttribute");
  };
  set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
  if (!bias.empty()) {
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias.data);
  }
  return product;
}

Owned<cublasLtMatmulPreference_t> preference_of(std::size_t workspace_bytes) {
  cublasLtMatmulPreference_t preference = nullptr;
  check(cublasLtMatmulPreferenceCreate(&preference), "cublasLtMatmulPreferenceCreate");
  Owned<cublasLtMatmulPreference_t> owned(preference, cublasLtMatmulPreferenceDestroy);
  check(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace_bytes,
                                             sizeof workspace_bytes),
        "cublasLtMatmulPreferenceSetAttribute");
  return owned;
}

}  // namespace

CublasLtProduct::CublasLtProduct(void* workspace) : workspace_(workspace) {
  check(cublasLtCreate(&handle_), "cublasLtCreate");
}

CublasLtProduct::~CublasLtProduct() { cublasLtDestroy(handle_); }

void CublasLtProduct::multiply(const PieceMatrix& x, const PackedWeights& weight, const Tail& tail,
                               cudaStream_t stream) {
  const MatrixView<const float> added = tail.residual.empty() ? tail.y : tail.residual;
  const auto product = product_of(tail.bias);
  const auto a = layout_of(weight.dtype, weight.stride, weight.rows, weight.stride),
             b = layout_of(weight.dtype, weight.stride, x.rows, x.stride),
             c = layout_of(DType::f32, weight.rows, x.rows, added.stride),
             d = layout_of(DType::f32, weight.rows, x.rows, tail.y.stride);
  const auto preference = preference_of(kWorkspaceBytes);
  cublasLtMatmulHeuristicResult_t best{};
  int found = 0;
  check(cublasLtMatmulAlgoGetHeuristic(handle_, product.get(), a.get(), b.get(), c.get(), d.get(), preference.get(), 1,
                                       &best, &found),
        "cublasLtMatmulAlgoGetHeuristic");
  if (found == 0) throw Error(ErrorCode::kDevice, "cublasLtMatmulAlgoGetHeuristic failed: no algorithm was found");
  const float alpha = 1, beta = tail.residual.empty() ? 0.0f : 1.0f;
  check(cublasLtMatmul(handle_, product.get(), &alpha, weight.data, a.get(), x.data, b.get(), &beta, added.data,
                       c.get(), tail.y.data, d.get(), &best.algo, workspace_, kWorkspaceBytes, stream),
        "cublasLtMatmul");
}

}  // namespace lexiscope::cuda
