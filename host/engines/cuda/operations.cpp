// The operations of the cuda engine: each picks its configuration and enqueues its kernels. Those of
// `project` have files of their own.
#include "host/core/require.h"
#include "host/engines/cuda/cuda_engine.h"
#include "host/engines/cuda/packed_matrix.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_argmax.h"
#include "kernels/cuda/attention_f32.h"
#include "kernels/cuda/attention_map.h"
#include "kernels/cuda/certainty.h"
#include "kernels/cuda/convert.h"
#include "kernels/cuda/cublas_lt_product.h"
#include "kernels/cuda/drift.h"
#include "kernels/cuda/gelu_mlp.h"
#include "kernels/cuda/layer_norm.h"
#include "kernels/cuda/linear.h"
#include "kernels/cuda/rms_norm.h"
#include "kernels/cuda/rotary_embedding.h"
#include "kernels/cuda/swiglu_mlp.h"

namespace lexiscope::cuda {
namespace {

const PackedWeights& weights_of(const PackedMatrix* matrix) {
  return static_cast<const CudaPackedMatrix&>(*matrix).weights();
}

/// Throws Error{kUnsupported} unless all weights of a perceptron are of one type.
void require_one_type(std::string_view operation, const Perceptron& work) {
  const DType up = work.up.dtype, down = work.down.dtype, gate = work.gate.data ? work.gate.dtype : up;
  if (up != down || up != gate)
    fail(ErrorCode::kUnsupported, "{}: weights of several types are not supported, up is {}, gate {} and down {}",
         operation, name_of(up), name_of(gate), name_of(down));
}

void require_kernel(std::string_view operation, DType dtype) {
  if (dtype != DType::f32 && dtype != DType::bf16 && dtype != DType::f16)
    fail(ErrorCode::kUnsupported, "{}: the cuda engine takes f32, bf16 and f16, not {}", operation, name_of(dtype));
}

// Kernels count rows and columns in 32 bits, and heads in the 16 bits of a grid's second axis.
void require_countable(std::string_view operation, const ConstTensorView& query, const ConstTensorView& key) {
  constexpr std::size_t kMostHeads = 65'535, kMostTokens = std::size_t{1} << 30;
  if (query.shape[0] > kMostHeads || query.shape[1] > kMostTokens || key.shape[1] > kMostTokens)
    fail(ErrorCode::kUnsupported, "{}: {} heads of {} queries and {} keys are more than {} heads or {} tokens",
         operation, query.shape[0], query.shape[1], key.shape[1], kMostHeads, kMostTokens);
}

}  // namespace

void CudaEngine::do_attention(const AttentionArgs& args) {
  require_kernel("attention", args.query.dtype);
  require_countable("attention", args.query, args.key);
  if (args.query.dtype == DType::f32) {
    run([&] { cuda::attention_f32(args, choose_attention_f32_config(args), stream()); });
    return;
  }
  const AttentionConfig config = choose_attention_config(args, properties());
  const auto workspace = allocate_workspace(attention_workspace(args, config));
  run([&] {
    cuda::attention(args, config, workspace.get(), stream());
    if (!args.statistics.argmax.empty()) attention_argmax(args, choose_attention_argmax_config(args), stream());
  });
}

void CudaEngine::do_attention_map(const AttentionMapArgs& args) {
  require_kernel("attention_map", args.query.dtype);
  require_countable("attention_map", args.query, args.key);
  const AttentionMapConfig config = choose_attention_map_config(args, properties());
  const auto workspace = allocate_workspace(attention_map_workspace(args, config));
  run([&] { cuda::attention_map(args, config, workspace.get(), stream()); });
}

void CudaEngine::do_certainty(const CertaintyArgs& args) {
  const PackedWeights& head = weights_of(args.head);
  const CertaintyConfig config = choose_certainty_config(args.x.rows, head.rows, properties());
  const auto workspace = allocate_workspace(certainty_workspace(args, head, config));
  run([&] { cuda::certainty(args, head, config, workspace.get(), stream()); });
}

void CudaEngine::do_layer_norm(const LayerNormArgs& args) {
  run([&] { cuda::layer_norm(args, choose_layer_norm_config(args, properties()), stream()); });
}

void CudaEngine::do_rms_norm(const RmsNormArgs& args) {
  run([&] { cuda::rms_norm(args, choose_rms_norm_config(args, properties()), stream()); });
}

void CudaEngine::do_rotary_embedding(const RotaryEmbeddingArgs& args) {
  run([&] { cuda::rotary_embedding(args, choose_rotary_embedding_config(args, properties()), stream()); });
}

void CudaEngine::do_drift(const DriftArgs& args) {
  run([&] { cuda::drift(args, choose_drift_config(args, properties()), stream()); });
}

void CudaEngine::do_convert(const ConvertArgs& args) {
  run([&] { cuda::convert(args, choose_convert_config(args), stream()); });
}

void CudaEngine::do_linear(const LinearArgs& args) {
  const PackedWeights& weight = weights_of(args.weight);
  const ProductConfig config = with_library(choose_linear_config(args, weight, properties()));
  const auto workspace = allocate_workspace(linear_workspace(args, weight, config));
  run([&] { cuda::linear(args, weight, config, workspace.get(), stream()); });
}

void CudaEngine::do_gelu_mlp(const GeluMlpArgs& args) {
  run_perceptron("gelu_mlp", cuda::gelu_mlp(args, weights_of(args.up), weights_of(args.down)));
}

void CudaEngine::do_swiglu_mlp(const SwigluMlpArgs& args) {
  run_perceptron("swiglu_mlp",
                 cuda::swiglu_mlp(args, weights_of(args.gate), weights_of(args.up), weights_of(args.down)));
}

void CudaEngine::run_perceptron(std::string_view operation, const Perceptron& work) {
  require_one_type(operation, work);
  const PerceptronConfig chosen = choose_perceptron_config(work, properties());
  const PerceptronConfig config{.up = with_library(chosen.up), .down = with_library(chosen.down)};
  const auto workspace = allocate_workspace(perceptron_workspace(work, config));
  run([&] { cuda::perceptron(work, config, workspace.get(), stream()); });
}

ProductConfig CudaEngine::with_library(ProductConfig config) {
  const bool wanted = options_.products == ProductLibrary::automatic ? config.library_is_faster
                                                                     : options_.products == ProductLibrary::cublas_lt;
  if (!wanted) return config;
  if (!library_) {
    if (!library_workspace_) library_workspace_ = pool_->allocate(CublasLtProduct::kWorkspaceBytes);
    run([&] { library_ = std::make_unique<CublasLtProduct>(library_workspace_.get()); });
  }
  config.library = library_.get();
  return config;
}

}  // namespace lexiscope::cuda
