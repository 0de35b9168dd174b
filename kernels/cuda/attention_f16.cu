// Attention's kernels in f16.
#include "kernels/cuda/attention_launch.cuh"

namespace lexiscope::cuda {

void launch_attention_f16(const AttentionArgs& args, const AttentionVariant& variant, cudaStream_t stream) {
  launch_attention<__half>(args, variant, stream);
}

}  // namespace lexiscope::cuda
