// The libraries that the engine leaves plain linear algebra to, cuBLAS and cuSOLVER, on the engine's stream.
#pragma once

#include <cublas_v2.h>
#include <cusolverDn.h>

#include <memory>
#include <string_view>
#include <type_traits>

#include "host/engines/cuda/device.h"
#include "host/engines/cuda/stream.h"
#include "lexiscope/tensor.h"

namespace lexiscope::cuda {

/// A library's handle is made when it is first needed, and kept: that takes time and device memory. Every error of a
/// library is told with the call, the device and what the library says of it; Error{kOutOfMemory} where it had too
/// little memory, Error{kDevice} otherwise. Matrices are counted by rows here, as everywhere but in these libraries.
class LinearAlgebra {
 public:
  LinearAlgebra(std::shared_ptr<Device> device, std::shared_ptr<Stream> stream)
      : device_(std::move(device)), stream_(std::move(stream)) {}

  /// product = a b^T in double, dense [a.rows, b.rows]. Enqueues.
  void multiply(MatrixView<const double> a, MatrixView<const double> b, double* product);

  /// sums = x^T x, or where it is not the first, sums += x^T x: the upper triangle of [d, d] alone. Enqueues.
  void add_outer_products(MatrixView<const double> x, bool first, MatrixView<double> sums);

  /// Scratch memory of eigenvectors() for a matrix [d, d].
  struct EigenWorkspace {
    std::size_t device_bytes = 0, host_bytes = 0;
  };
  /// Throws where cuSOLVER does not take a matrix of that size.
  EigenWorkspace eigen_workspace(std::size_t d, double* matrix, double* values);

  /// Eigenvalues [d], ascending, and in the matrix's place their eigenvectors, rows in the same order. Of `matrix`
  /// [d, d], dense, the lower triangle is read. `info`, in device memory, becomes 0 where the iteration converged. May
  /// wait for the device; the workspaces are in use until the stream is done.
  void eigenvectors(std::size_t d, double* matrix, double* values, void* device_workspace, void* host_workspace,
                    const EigenWorkspace& bytes, int* info);

 private:
  template <typename Handle, typename Status>
  using Owned = std::unique_ptr<std::remove_pointer_t<Handle>, Status (*)(Handle)>;

  cublasHandle_t blas();
  cusolverDnHandle_t solver();
  void check(cublasStatus_t status, std::string_view call);
  void check(cusolverStatus_t status, std::string_view call);
  [[noreturn]] void fail_in(std::string_view call, std::string_view what, bool out_of_memory);

  std::shared_ptr<Device> device_;
  std::shared_ptr<Stream> stream_;
  Owned<cublasHandle_t, cublasStatus_t> blas_{nullptr, cublasDestroy};
  Owned<cusolverDnHandle_t, cusolverStatus_t> solver_{nullptr, cusolverDnDestroy};
  Owned<cusolverDnParams_t, cusolverStatus_t> solver_parameters_{nullptr, cusolverDnDestroyParams};
};

}  // namespace lexiscope::cuda
