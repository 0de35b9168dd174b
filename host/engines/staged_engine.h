// An engine that takes host memory in front of one that does not: each call's views are copied to the engine, the call
// runs there, and what it wrote is copied back. For checks on small arrays; jobs keep their arrays on the engine.
#pragma once

#include <memory>

#include "lexiscope/engine.h"

namespace lexiscope {

/// Strides, views of the same memory and the bytes between rows are as the caller has them: views whose extents meet
/// lie in one piece of engine memory, and pieces begin as far from a multiple of 64 bytes as the caller's do.
class StagedEngine final : public Engine {
 public:
  explicit StagedEngine(std::unique_ptr<Engine> engine) : engine_(std::move(engine)) {}

  std::string_view name() const noexcept override { return engine_->name(); }
  std::string description() const override { return engine_->description(); }
  int threads() const noexcept override { return engine_->threads(); }
  bool memory_is_host() const noexcept override { return true; }
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

  SparseMatrix to_host(const SparseMatrix& matrix);
  SparseMatrix to_engine(const SparseMatrix& matrix);

  std::unique_ptr<Engine> engine_;
};

}  // namespace lexiscope
