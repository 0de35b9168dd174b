// What a GPU's tensor cores reach through mma.sync, with nothing beside it: eight independent bf16 products with f32
// sums a warp, again and again. The limit that kernels of mma.sync are measured against; on sm_90 cuBLASLt's wgmma has
// more.
//   nvcc -O3 -arch=native mma_rate.cu -o mma_rate && ./mma_rate      prints TFLOP/s, the median of seven runs
#include <cuda_runtime.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

namespace {

constexpr int kWarps = 8, kProducts = 8, kRounds = 20'000;

void check(cudaError_t status) {
  if (status == cudaSuccess) return;
  std::fprintf(stderr, "%s\n", cudaGetErrorString(status));
  std::exit(1);
}

__global__ void __launch_bounds__(32 * kWarps) multiply(float* sums, unsigned seed) {
  // Normal numbers of either sign: products of zeros would take less power.
  unsigned a[4], b[2];
  for (unsigned i = 0; i < 4; ++i) a[i] = ((threadIdx.x * 2654435761u + seed + i) & 0x807f807fu) | 0x3f003f00u;
  for (unsigned i = 0; i < 2; ++i) b[i] = ((threadIdx.x * 2246822519u + seed + i) & 0x807f807fu) | 0x3f003f00u;
  float c[kProducts][4] = {};
  for (int round = 0; round < kRounds; ++round)
#pragma unroll
    for (auto& sum : c)
      asm volatile(
          "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
          "{%0, %1, %2, %3};"
          : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
          : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  float total = 0;
  for (const auto& sum : c)
    for (const float x : sum) total += x;
  sums[blockIdx.x * blockDim.x + threadIdx.x] = total;
}

}  // namespace

int main() {
  int multiprocessors = 0;
  check(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0));
  const int blocks = 2 * multiprocessors;
  float* sums = nullptr;
  check(cudaMalloc(&sums, sizeof(float) * 32 * kWarps * static_cast<std::size_t>(blocks)));
  cudaEvent_t start{}, stop{};
  check(cudaEventCreate(&start));
  check(cudaEventCreate(&stop));
  std::array<float, 7> milliseconds{};
  for (float& run : milliseconds) {
    check(cudaEventRecord(start));
    multiply<<<blocks, 32 * kWarps>>>(sums, 1);
    check(cudaGetLastError());
    check(cudaEventRecord(stop));
    check(cudaEventSynchronize(stop));
    check(cudaEventElapsedTime(&run, start, stop));
  }
  std::nth_element(milliseconds.begin(), milliseconds.begin() + 3, milliseconds.end());
  const double products = 1.0 * blocks * kWarps * kProducts * kRounds;
  std::printf("%.1f\n", products * 2 * 16 * 8 * 16 / (milliseconds[3] * 1e-3) * 1e-12);
  return 0;
}
