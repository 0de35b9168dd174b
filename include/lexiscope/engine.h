// An engine runs operations. Arguments are checked here, once for every engine; what runs them trusts them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lexiscope/ops/affinities.h"
#include "lexiscope/ops/attention.h"
#include "lexiscope/ops/attention_map.h"
#include "lexiscope/ops/certainty.h"
#include "lexiscope/ops/convert.h"
#include "lexiscope/ops/cosine_statistics.h"
#include "lexiscope/ops/covariance.h"
#include "lexiscope/ops/drift.h"
#include "lexiscope/ops/eigendecomposition.h"
#include "lexiscope/ops/gelu_mlp.h"
#include "lexiscope/ops/layer_norm.h"
#include "lexiscope/ops/linear.h"
#include "lexiscope/ops/neighbors.h"
#include "lexiscope/ops/projection.h"
#include "lexiscope/ops/rms_norm.h"
#include "lexiscope/ops/rotary_embedding.h"
#include "lexiscope/ops/swiglu_mlp.h"
#include "lexiscope/ops/tsne_gradient.h"
#include "lexiscope/ops/tsne_kl.h"

namespace lexiscope {

/// Views in arguments point to the engine's memory (the host's, where memory_is_host()), unless a comment says
/// otherwise. One engine is used by one thread at a time; several engines may run at once. The same inputs give the
/// same bits on one engine, whatever the number of threads.
class Engine {
 public:
  Engine() = default;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  virtual ~Engine() = default;

  virtual std::string_view name() const noexcept = 0;
  /// What runs the work, for people: "2 threads, AVX-512".
  virtual std::string description() const = 0;
  virtual int threads() const noexcept = 0;

  virtual bool memory_is_host() const noexcept = 0;
  /// Zero-filled, dense, aligned to 64 bytes. Throws Error{kOutOfMemory} naming the bytes.
  virtual Tensor allocate(DType dtype, std::span<const std::size_t> shape) = 0;
  Tensor allocate(DType dtype, std::initializer_list<std::size_t> shape) {
    return allocate(dtype, std::span(shape.begin(), shape.size()));
  }

  /// Copies between the host's memory and the engine's: dense views of one type and shape. Throw
  /// Error{kInvalidArgument} where they are not.
  void copy_to_engine(ConstTensorView host, TensorView engine);
  void copy_to_host(ConstTensorView engine, TensorView host);

  /// A weight matrix [out, in] from the host's memory, kept in the engine's own layout as f32 or bf16 (nearest, ties to
  /// even). With bf16 an operation rounds its input to bf16 as well and sums products in f32. Throws
  /// Error{kUnsupported} for another precision.
  std::unique_ptr<PackedMatrix> pack(MatrixView<const float> weight, DType precision = DType::f32);
  void attention(const AttentionArgs& args);
  void attention_map(const AttentionMapArgs& args);
  /// attention(args), then attention_map(map), in less time where an engine can do both at once. Throws as they do, and
  /// Error{kInvalidArgument} where the map is not of this attention: its query, key, scale, mask, key_padding and
  /// log_sum_exp are `args`' own.
  void attention_with_map(const AttentionArgs& args, const AttentionMapArgs& map);
  void rotary_embedding(const RotaryEmbeddingArgs& args);
  void rms_norm(const RmsNormArgs& args);
  void layer_norm(const LayerNormArgs& args);
  void linear(const LinearArgs& args);
  void gelu_mlp(const GeluMlpArgs& args);
  void swiglu_mlp(const SwigluMlpArgs& args);
  void certainty(const CertaintyArgs& args);
  void drift(const DriftArgs& args);
  void convert(const ConvertArgs& args);
  void covariance(const CovarianceArgs& args);
  void eigendecomposition(const EigendecompositionArgs& args);
  void projection(const ProjectionArgs& args);
  void neighbors(const NeighborsArgs& args);
  SparseMatrix affinities(const AffinitiesArgs& args);
  SparseMatrix global_affinities(const GlobalAffinitiesArgs& args);
  std::unique_ptr<TsnePlan> plan_tsne(const TsnePlanArgs& args);
  void tsne_gradient(const TsneGradientArgs& args);
  void tsne_step(const TsneStepArgs& args);
  double tsne_kl(const TsneKlArgs& args);
  CosineStatistics cosine_statistics(const CosineStatisticsArgs& args);

 protected:
  /// One, then the other, where an engine knows no better. Defined here, so that plug-ins need nothing of the library.
  virtual void do_attention_with_map(const AttentionArgs& args, const AttentionMapArgs& map) {
    if (args.out.elements() > 0) do_attention(args);
    do_attention_map(map);
  }

 private:
  virtual void do_copy_to_engine(ConstTensorView host, TensorView engine) = 0;
  virtual void do_copy_to_host(ConstTensorView engine, TensorView host) = 0;
  virtual std::unique_ptr<PackedMatrix> do_pack(MatrixView<const float> weight, DType precision) = 0;
  virtual void do_attention(const AttentionArgs& args) = 0;
  virtual void do_attention_map(const AttentionMapArgs& args) = 0;
  virtual void do_rotary_embedding(const RotaryEmbeddingArgs& args) = 0;
  virtual void do_rms_norm(const RmsNormArgs& args) = 0;
  virtual void do_layer_norm(const LayerNormArgs& args) = 0;
  virtual void do_linear(const LinearArgs& args) = 0;
  virtual void do_gelu_mlp(const GeluMlpArgs& args) = 0;
  virtual void do_swiglu_mlp(const SwigluMlpArgs& args) = 0;
  virtual void do_certainty(const CertaintyArgs& args) = 0;
  virtual void do_drift(const DriftArgs& args) = 0;
  virtual void do_convert(const ConvertArgs& args) = 0;
  virtual void do_covariance(const CovarianceArgs& args) = 0;
  virtual void do_eigendecomposition(const EigendecompositionArgs& args) = 0;
  virtual void do_projection(const ProjectionArgs& args) = 0;
  virtual void do_neighbors(const NeighborsArgs& args) = 0;
  virtual SparseMatrix do_affinities(const AffinitiesArgs& args) = 0;
  virtual SparseMatrix do_global_affinities(const GlobalAffinitiesArgs& args) = 0;
  virtual std::unique_ptr<TsnePlan> do_plan_tsne(const TsnePlanArgs& args) = 0;
  virtual void do_tsne_gradient(const TsneGradientArgs& args) = 0;
  virtual void do_tsne_step(const TsneStepArgs& args) = 0;
  virtual double do_tsne_kl(const TsneKlArgs& args) = 0;
  virtual CosineStatistics do_cosine_statistics(const CosineStatisticsArgs& args) = 0;
};

/// What multiplies the matrices of linear layers and perceptrons on the cuda engine.
enum class ProductLibrary : std::uint8_t {
  automatic,  ///< cuBLASLt for large products, the project's kernels for others: the shape alone decides
  own,        ///< the project's kernels
  cublas_lt   ///< cuBLASLt, with bias and residual in its epilogue; activations are the project's kernels still
};

struct EngineOptions {
  int threads = 0;  ///< 0: one for each core this process may use
  ProductLibrary products = ProductLibrary::automatic;
};

/// The names that make_engine takes on this machine, the fastest first.
std::vector<std::string> available_engines();

/// "cuda", "cpu" or "reference". Throws Error{kInvalidArgument} for another name (saying which are available), negative
/// threads, or products by cuBLASLt on an engine other than "cuda", and Error{kDevice} where "cuda" is not available
/// here: no plug-in, no driver or one that is too old, no device, or no code for its architecture.
std::unique_ptr<Engine> make_engine(std::string_view name, const EngineOptions& options = {});

/// The SIMD targets compiled in that this processor has, the widest first: of "avx512-amx" (products of
/// weights on tiles of bf16, in the accuracy of f32), "avx512-vnni", "avx512", "avx2", "scalar".
std::vector<std::string> simd_targets();

/// Restricts the cpu engine to `target` or narrower, in the whole process: for tests and measurements. Throws
/// Error{kInvalidArgument} for a target that simd_targets() does not list. The environment variable LEXISCOPE_SIMD
/// does the same when the first engine is made.
void set_simd_target(std::string_view target);

}  // namespace lexiscope
