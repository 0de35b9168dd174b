// The engine on one NVIDIA GPU. Operations enqueue their kernels on one stream and return; results are there once
// copy_to_host has brought them, which waits for the stream.
#pragma once

#include <memory>
#include <string>

#include "host/engines/cuda/device.h"
#include "host/engines/cuda/memory_pool.h"
#include "host/engines/cuda/stream.h"
#include "lexiscope/engine.h"
#include "lexiscope/error.h"

namespace lexiscope::cuda {

class CublasLtProduct;
class LinearAlgebra;
class RowStream;
struct Perceptron;
struct ProductConfig;

struct CudaEngineOptions {
  std::string_view name = "cuda";  ///< outlives the engine and what it packs
  int device = 0;
  int threads = 1;  ///< for the host's part of jobs
  ProductLibrary products = ProductLibrary::automatic;
  BlockSizes block_sizes = BlockSizes::classes;
  /// Of the rows that operations on a matrix in the host's memory bring to the device at once.
  std::size_t row_chunk_bytes = std::size_t{32} << 20;
};

class CudaEngine final : public Engine {
 public:
  /// Throws Error{kDevice} or Error{kOutOfMemory}.
  explicit CudaEngine(const CudaEngineOptions& options);
  ~CudaEngine() override;

  std::string_view name() const noexcept override { return options_.name; }
  std::string description() const override;
  int threads() const noexcept override { return options_.threads; }
  bool memory_is_host() const noexcept override { return false; }
  Tensor allocate(DType dtype, std::span<const std::size_t> shape) override;
  using Engine::allocate;

 private:
  void do_copy_to_engine(ConstTensorView host, TensorView engine) override;
  void do_copy_to_host(ConstTensorView engine, TensorView host) override;
  std::unique_ptr<PackedMatrix> do_pack(MatrixView<const float> weight, DType precision) override;
  void do_attention(const AttentionArgs& args) override;
  void do_attention_map(const AttentionMapArgs& args) override;
  void do_rotary_embedding(const RotaryEmbeddingArgs& args) override;
  void do_rms_norm(const RmsNormArgs& args) override;
  void do_layer_norm(const LayerNormArgs& args) override;
  void do_linear(const LinearArgs& args) override;
  void do_gelu_mlp(const GeluMlpArgs& args) override;
  void do_swiglu_mlp(const SwigluMlpArgs& args) override;
  void do_certainty(const CertaintyArgs& args) override;
  void do_drift(const DriftArgs& args) override;
  void do_convert(const ConvertArgs& args) override;
  void do_covariance(const CovarianceArgs& args) override;
  void do_eigendecomposition(const EigendecompositionArgs& args) override;
  void do_projection(const ProjectionArgs& args) override;
  void do_neighbors(const NeighborsArgs& args) override;
  SparseMatrix do_affinities(const AffinitiesArgs& args) override;
  SparseMatrix do_global_affinities(const GlobalAffinitiesArgs& args) override;
  std::unique_ptr<TsnePlan> do_plan_tsne(const TsnePlanArgs& args) override;
  void do_tsne_gradient(const TsneGradientArgs& args) override;
  void do_tsne_step(const TsneStepArgs& args) override;
  double do_tsne_kl(const TsneKlArgs& args) override;
  CosineStatistics do_cosine_statistics(const CosineStatisticsArgs& args) override;

  void run_perceptron(std::string_view operation, const Perceptron& work);
  [[noreturn]] void fail_not_finite(const MatrixView<const double>& matrix, unsigned long long place);

  // Made when they are first needed.
  LinearAlgebra& linear_algebra();
  RowStream& row_stream();

  /// With the library that computes the product where the options ask for it; made with the first of them.
  ProductConfig with_library(ProductConfig config);

  /// Memory for the kernels of one call, null for none. It may go back to the pool once they are enqueued.
  std::shared_ptr<void> allocate_workspace(std::size_t bytes) { return bytes > 0 ? pool_->allocate(bytes) : nullptr; }
  /// As workspace; of no elements too.
  std::shared_ptr<double> allocate_doubles(std::size_t count);
  /// Throws Error{kOutOfMemory}.
  static std::unique_ptr<std::byte[]> allocate_on_host(std::size_t bytes);
  const cudaDeviceProp& properties() const noexcept { return device_->properties(); }
  cudaStream_t stream() const noexcept { return stream_->handle(); }

  /// enqueue() on a device that is current and usable.
  template <typename Enqueue>
  void run(Enqueue&& enqueue) {
    device_->enter();
    try {
      enqueue();
    } catch (const Error&) {
      device_->note_failure();
      throw;
    }
  }

  CudaEngineOptions options_;
  std::shared_ptr<Device> device_;
  std::shared_ptr<MemoryPool> pool_;
  std::shared_ptr<Stream> stream_;
  std::unique_ptr<LinearAlgebra> linear_algebra_;
  std::unique_ptr<RowStream> row_stream_;
  std::shared_ptr<void> library_workspace_;
  std::unique_ptr<CublasLtProduct> library_;
};

}  // namespace lexiscope::cuda
