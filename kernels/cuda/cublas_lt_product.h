// Products by cuBLASLt, with bias and residual in its epilogue.
#pragma once

#include <cublasLt.h>

#include <cstddef>

#include "kernels/cuda/library_product.h"

namespace lexiscope::cuda {

/// The calls of cuBLASLt that a product needs. Pointers, so that the library is loaded only where it is asked for: it
/// is hundreds of megabytes, and no part of a driver.
struct CublasLtCalls {
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtDestroy) destroy;
  decltype(&cublasLtGetStatusName) status_name;
  decltype(&cublasLtMatmulDescCreate) create_product;
  decltype(&cublasLtMatmulDescDestroy) destroy_product;
  decltype(&cublasLtMatmulDescSetAttribute) set_product;
  decltype(&cublasLtMatrixLayoutCreate) create_layout;
  decltype(&cublasLtMatrixLayoutDestroy) destroy_layout;
  decltype(&cublasLtMatmulPreferenceCreate) create_preference;
  decltype(&cublasLtMatmulPreferenceDestroy) destroy_preference;
  decltype(&cublasLtMatmulPreferenceSetAttribute) set_preference;
  decltype(&cublasLtMatmulAlgoGetHeuristic) find_algorithm;
  decltype(&cublasLtMatmul) multiply;
};

/// Sums in f32; weights in f32 are multiplied as such, never as tf32. Its errors are Error{kDevice} with the call and
/// the status.
class CublasLtProduct final : public LibraryProduct {
 public:
  /// What NVIDIA advises for its fastest algorithms.
  static constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;

  /// `workspace`: kWorkspaceBytes of the current device's memory, aligned to 256 bytes, for one stream's products at a
  /// time.
  CublasLtProduct(const CublasLtCalls& calls, void* workspace);
  ~CublasLtProduct() override;

  void multiply(const PieceMatrix& x, const PackedWeights& weight, const Tail& tail, cudaStream_t stream) override;

 private:
  CublasLtCalls calls_;
  void* workspace_;
  cublasLtHandle_t handle_ = nullptr;
};

}  // namespace lexiscope::cuda
