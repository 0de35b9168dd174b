// The operations of the cuda engine: each picks its configuration and enqueues its kernels. What has no kernels is at
// the end, and says so.
#include "host/core/require.h"
#include "host/engines/cuda/cuda_engine.h"

namespace lexiscope::cuda {

void CudaEngine::do_attention(const AttentionArgs&) { fail_unsupported("attention"); }
void CudaEngine::do_attention_map(const AttentionMapArgs&) { fail_unsupported("attention_map"); }
void CudaEngine::do_rotary_embedding(const RotaryEmbeddingArgs&) { fail_unsupported("rotary_embedding"); }
void CudaEngine::do_rms_norm(const RmsNormArgs&) { fail_unsupported("rms_norm"); }
void CudaEngine::do_layer_norm(const LayerNormArgs&) { fail_unsupported("layer_norm"); }
void CudaEngine::do_linear(const LinearArgs&) { fail_unsupported("linear"); }
void CudaEngine::do_gelu_mlp(const GeluMlpArgs&) { fail_unsupported("gelu_mlp"); }
void CudaEngine::do_swiglu_mlp(const SwigluMlpArgs&) { fail_unsupported("swiglu_mlp"); }
void CudaEngine::do_certainty(const CertaintyArgs&) { fail_unsupported("certainty"); }
void CudaEngine::do_drift(const DriftArgs&) { fail_unsupported("drift"); }
void CudaEngine::do_convert(const ConvertArgs&) { fail_unsupported("convert"); }
void CudaEngine::do_covariance(const CovarianceArgs&) { fail_unsupported("covariance"); }
void CudaEngine::do_eigendecomposition(const EigendecompositionArgs&) { fail_unsupported("eigendecomposition"); }
void CudaEngine::do_projection(const ProjectionArgs&) { fail_unsupported("projection"); }
void CudaEngine::do_neighbors(const NeighborsArgs&) { fail_unsupported("neighbors"); }
SparseMatrix CudaEngine::do_affinities(const AffinitiesArgs&) { fail_unsupported("affinities"); }
SparseMatrix CudaEngine::do_global_affinities(const GlobalAffinitiesArgs&) { fail_unsupported("global_affinities"); }
std::unique_ptr<TsnePlan> CudaEngine::do_plan_tsne(const TsnePlanArgs&) { fail_unsupported("plan_tsne"); }
void CudaEngine::do_tsne_gradient(const TsneGradientArgs&) { fail_unsupported("tsne_gradient"); }
void CudaEngine::do_tsne_step(const TsneStepArgs&) { fail_unsupported("tsne_step"); }
double CudaEngine::do_tsne_kl(const TsneKlArgs&) { fail_unsupported("tsne_kl"); }
CosineStatistics CudaEngine::do_cosine_statistics(const CosineStatisticsArgs&) {
  fail_unsupported("cosine_statistics");
}

void CudaEngine::fail_unsupported(std::string_view operation) const {
  fail(ErrorCode::kUnsupported, "{}: the {} engine does not have this operation yet", operation, name());
}

}  // namespace lexiscope::cuda
