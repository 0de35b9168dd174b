// cuBLASLt counts matrices by columns, so what it computes is y^T [out, T] = W x^T: our rows are its columns, and W as
// it lies is its transpose.
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

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

template <typename Value>
void set(const Owned<cublasLtMatmulDesc_t>& product, cublasLtMatmulDescAttributes_t attribute, const Value& value) {
  check(cublasLtMatmulDescSetAttribute(product.get(), attribute, &value, sizeof value),
        "cublasLtMatmulDescSetAttribute");
}

Owned<cublasLtMatmulDesc_t> product_of(const float* bias) {
  cublasLtMatmulDesc_t made = nullptr;
  check(cublasLtMatmulDescCreate(&made, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublasLtMatmulDescCreate");
  Owned<cublasLtMatmulDesc_t> product(made, cublasLtMatmulDescDestroy);
  set(product, CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
  if (bias) {
    set(product, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    set(product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  }
  return product;
}

// The largest power of two that both addresses are multiples of, up to what cuBLASLt assumes where it is told nothing.
std::uint32_t alignment_of(const void* one, const void* other = nullptr) {
  constexpr std::uintptr_t kMost = 256;
  const std::uintptr_t bits = reinterpret_cast<std::uintptr_t>(one) | reinterpret_cast<std::uintptr_t>(other) | kMost;
  return static_cast<std::uint32_t>(bits & (~bits + 1));
}

struct Alignments {
  std::uint32_t a, b, c, d;
  bool operator==(const Alignments&) const = default;
};

Owned<cublasLtMatmulPreference_t> preference_of(std::size_t workspace_bytes, const Alignments& alignments) {
  cublasLtMatmulPreference_t preference = nullptr;
  check(cublasLtMatmulPreferenceCreate(&preference), "cublasLtMatmulPreferenceCreate");
  Owned<cublasLtMatmulPreference_t> owned(preference, cublasLtMatmulPreferenceDestroy);
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
    check(cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value),
          "cublasLtMatmulPreferenceSetAttribute");
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace_bytes);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignments.a);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignments.b);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignments.c);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignments.d);
  return owned;
}

// All that cuBLASLt's choice of an algorithm depends on.
struct Shape {
  DType dtype;
  std::size_t rows, columns, depth;              // T, out, in with its padding
  std::size_t x_stride, added_stride, y_stride;  // elements from row to row
  bool bias;
  Alignments alignments;
  bool operator==(const Shape&) const = default;
};

MatrixView<const float> added(const CublasLtProduct::Tail& tail) {
  return tail.residual.empty() ? tail.y : tail.residual;
}

// The bias has no alignment of its own among cuBLASLt's preferences; it is read where D is written.
Shape shape_of(const PieceMatrix& x, const PackedWeights& weight, const CublasLtProduct::Tail& tail) {
  return {.dtype = weight.dtype,
          .rows = x.rows,
          .columns = weight.rows,
          .depth = weight.stride,
          .x_stride = x.stride,
          .added_stride = added(tail).stride,
          .y_stride = tail.y.stride,
          .bias = !tail.bias.empty(),
          .alignments = {.a = alignment_of(weight.data),
                         .b = alignment_of(x.data),
                         .c = alignment_of(added(tail).data),
                         .d = alignment_of(tail.y.data, tail.bias.data)}};
}

}  // namespace

// What cuBLASLt wants for the products of one shape.
struct CublasLtProduct::Prepared {
  Prepared(cublasLtHandle_t handle, const Shape& of, const float* bias)
      : shape(of),
        product(product_of(bias)),
        a(layout_of(of.dtype, of.depth, of.columns, of.depth)),
        b(layout_of(of.dtype, of.depth, of.rows, of.x_stride)),
        c(layout_of(DType::f32, of.columns, of.rows, of.added_stride)),
        d(layout_of(DType::f32, of.columns, of.rows, of.y_stride)) {
    const auto preference = preference_of(kWorkspaceBytes, of.alignments);
    cublasLtMatmulHeuristicResult_t best{};
    int found = 0;
    check(cublasLtMatmulAlgoGetHeuristic(handle, product.get(), a.get(), b.get(), c.get(), d.get(), preference.get(), 1,
                                         &best, &found),
          "cublasLtMatmulAlgoGetHeuristic");
    if (found == 0) throw Error(ErrorCode::kDevice, "cublasLtMatmulAlgoGetHeuristic failed: no algorithm was found");
    algorithm = best.algo;
  }

  Shape shape;
  Owned<cublasLtMatmulDesc_t> product;
  Owned<cublasLtMatrixLayout_t> a, b, c, d;
  cublasLtMatmulAlgo_t algorithm;
};

CublasLtProduct::CublasLtProduct(void* workspace) : workspace_(workspace) {
  check(cublasLtCreate(&handle_), "cublasLtCreate");
}

CublasLtProduct::~CublasLtProduct() { cublasLtDestroy(handle_); }

const CublasLtProduct::Prepared& CublasLtProduct::prepared(const PieceMatrix& x, const PackedWeights& weight,
                                                           const Tail& tail) {
  const Shape shape = shape_of(x, weight, tail);
  for (const auto& kept : kept_)
    if (kept->shape == shape) {
      if (shape.bias) set(kept->product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, tail.bias.data);
      return *kept;
    }
  auto made = std::make_unique<Prepared>(handle_, shape, tail.bias.data);
  if (kept_.size() < kMostKept) return *kept_.emplace_back(std::move(made));
  auto& place = kept_[oldest_];
  oldest_ = (oldest_ + 1) % kMostKept;
  place = std::move(made);
  return *place;
}

void CublasLtProduct::multiply(const PieceMatrix& x, const PackedWeights& weight, const Tail& tail,
                               cudaStream_t stream) {
  const Prepared& with = prepared(x, weight, tail);
  const float alpha = 1, beta = tail.residual.empty() ? 0.0f : 1.0f;
  check(cublasLtMatmul(handle_, with.product.get(), &alpha, weight.data, with.a.get(), x.data, with.b.get(), &beta,
                       added(tail).data, with.c.get(), tail.y.data, with.d.get(), &with.algorithm, workspace_,
                       kWorkspaceBytes, stream),
        "cublasLtMatmul");
}

}  // namespace lexiscope::cuda
