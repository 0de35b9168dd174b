// Attention's kernels in bf16.
#include "kernels/cuda/attention_launch.cuh"

namespace lexiscope::cuda {

void launch_attention_bf16(const AttentionArgs& args, const AttentionVariant& variant, cudaStream_t stream) {
  launch_attention<__nv_bfloat16>(args, variant, stream);
}

}  // namespace lexiscope::cuda
