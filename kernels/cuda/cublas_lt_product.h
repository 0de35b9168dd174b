// Products by cuBLASLt in place of the project's own kernels, with bias and residual in its epilogue: for large
// products, whose main loops the library has faster. What it cannot put behind its sums without loss, a kernel of ours
// adds in a pass of its own.
#pragma once

#include <cublasLt.h>

#include <cstddef>
#include <memory>
#include <vector>

#include "kernels/cuda/packed_weights.h"
#include "kernels/cuda/piece_rows.h"
#include "lexiscope/tensor.h"

namespace lexiscope::cuda {

/// Sums in f32; weights in f32 are multiplied as such, never as tf32. Its errors are Error{kDevice} with the call and
/// the status. Asking cuBLASLt for its algorithm takes longer than a small product: that is done once for each shape,
/// and again for one that has made room for others. It answers the same then, so calls that are alike give the same
/// bits.
class CublasLtProduct {
 public:
  /// What NVIDIA advises for its fastest algorithms.
  static constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;

  /// Shapes whose algorithms are kept: those of a model's layers at some ten numbers of tokens.
  static constexpr std::size_t kMostKept = 64;

  /// `workspace`: kWorkspaceBytes of the current device's memory, aligned to 256 bytes, for one stream's products at a
  /// time.
  explicit CublasLtProduct(void* workspace);
  CublasLtProduct(const CublasLtProduct&) = delete;
  CublasLtProduct& operator=(const CublasLtProduct&) = delete;
  ~CublasLtProduct();

  /// What follows the sums: y = sums + bias + residual. Bias and residual may be empty, residual may be y.
  struct Tail {
    VectorView<const float> bias;
    MatrixView<const float> residual;
    MatrixView<float> y;
  };

  /// x in the weight's type; bias, residual and y where floats may lie. Enqueues on `stream` and returns; everything
  /// points to device memory.
  void multiply(const PieceMatrix& x, const PackedWeights& weight, const Tail& tail, cudaStream_t stream);

 private:
  struct Prepared;
  const Prepared& prepared(const PieceMatrix& x, const PackedWeights& weight, const Tail& tail);

  void* workspace_;
  cublasLtHandle_t handle_ = nullptr;
  std::vector<std::unique_ptr<Prepared>> kept_;
  std::size_t oldest_ = 0;  // of kept_, once that is full
};

}  // namespace lexiscope::cuda
