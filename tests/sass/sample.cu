// What sample_sm_80.sass was made of: nvcc -arch=sm_80 -cubin, nvdisasm -c -hex. Not built.
#include "kernels/cuda/instructions.h"
using namespace lexiscope::cuda;
// A product over n steps whose sums double where a step's largest outgrows a limit: one loop with a rare path.
__global__ void sample(const uint4* from, float* to, int steps, float limit) {
  auto& shared = lexiscope::shared_memory<uint4[2][32]>();
  float sum[4] = {};
#pragma unroll 1
  for (int step = 0; step < steps; ++step) {
    cp_async_16(shared_address(&shared[step & 1][threadIdx.x]), from + step * 32 + threadIdx.x);
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();
    std::uint32_t a[4];
    ldmatrix_x4(a, shared_address(&shared[step & 1][threadIdx.x]));
    mma_m16n8k16_bf16(sum, a, a[0], a[1]);
    if (__any_sync(0xffffffffu, sum[0] > limit))
      for (float& x : sum) x *= exp2_approx(-x);
  }
  to[threadIdx.x] = sum[0] + sum[1] + sum[2] + sum[3];
}
