// The engines that live in the library itself. Each operation's file in this folder holds the check that all engines
// share and the two engines' calls into their kernels.
#pragma once

#include "host/core/host_memory.h"
#include "host/engines/simd.h"
#include "kernels/cpu/context.h"
#include "kernels/cpu/packed_weights.h"
#include "lexiscope/engine.h"

namespace lexiscope {

/// The operations of an engine whose memory is the host's; what both engines below share.
class HostEngine : public Engine {
 public:
  bool memory_is_host() const noexcept final { return true; }
  Tensor allocate(DType dtype, std::span<const std::size_t> shape) final;
  using Engine::allocate;

 private:
  void do_copy_to_engine(ConstTensorView host, TensorView engine) final;
  void do_copy_to_host(ConstTensorView engine, TensorView host) final;
};

/// Double precision, plain loops, one thread: what every other engine is checked against.
class ReferenceEngine final : public HostEngine {
 public:
  std::string_view name() const noexcept override { return "reference"; }
  std::string description() const override;
  int threads() const noexcept override { return 1; }

 private:
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
};

/// SIMD kernels on several threads.
class CpuEngine final : public HostEngine {
 public:
  explicit CpuEngine(int threads) : threads_(threads) {}

  std::string_view name() const noexcept override { return "cpu"; }
  std::string description() const override;
  int threads() const noexcept override { return threads_; }

 private:
  std::unique_ptr<PackedMatrix> do_pack(MatrixView<const float> weight, DType precision) override;
  void do_attention(const AttentionArgs& args) override;
  void do_attention_map(const AttentionMapArgs& args) override;
  void do_attention_with_map(const AttentionArgs& args, const AttentionMapArgs& map) override;
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

  /// The context for one kernel call, with a workspace of that many bytes.
  cpu::Context context(std::size_t workspace_bytes = 0) {
    return {.threads = threads_, .tiles = tiles_in_use(), .workspace = workspace_.reserve(workspace_bytes)};
  }

  /// What a matrix of this engine holds, as a product with so many rows reads it.
  const cpu::PackedWeights& weights_of(const PackedMatrix* matrix, std::size_t rows);

  int threads_;
  HostWorkspace workspace_;
};

}  // namespace lexiscope
