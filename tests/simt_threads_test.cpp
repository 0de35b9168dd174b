// The emulator's threads: indices, barriers, shuffles, votes, reductions and atomics, under every schedule.
#include <numeric>

#include "kernels/cuda/instructions.h"
#include "tests/support/run_kernel.h"

namespace lexiscope::test {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

constexpr unsigned kFull = 0xffffffffu;

class Threads : public ::testing::TestWithParam<simt::ScheduleOptions> {
 private:
  ScopedSchedule schedule_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Schedules, Threads, ::testing::ValuesIn(schedules()));

__global__ void write_indices(unsigned* out) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  out[block * blockDim.x * blockDim.y * blockDim.z + thread] = block * 1000 + thread;
}

TEST_P(Threads, EachRunsOnceWithItsOwnIndices) {
  DeviceVector<unsigned> out(3 * 2 * 5 * 7 * 4 * 3);
  run_kernel(write_indices, {.blocks = dim3(3, 2, 5), .threads = dim3(7, 4, 3)}, out.data());
  for (unsigned block = 0; block < 30; ++block)
    for (unsigned thread = 0; thread < 84; ++thread) EXPECT_EQ(out[block * 84 + thread], block * 1000 + thread);
}

struct Reversal {
  float values[1024];
};

__global__ void reverse_rows(const float* in, float* out) {
  auto& shared = shared_memory<Reversal>();
  const unsigned row = blockIdx.x * blockDim.x;
  for (int repeat = 0; repeat < 3; ++repeat) {
    shared.values[threadIdx.x] = in[row + threadIdx.x] + static_cast<float>(repeat);
    __syncthreads();
    out[row + threadIdx.x] = shared.values[blockDim.x - 1 - threadIdx.x];
    __syncthreads();
  }
}

TEST_P(Threads, SeeEachOthersSharedMemoryAfterABarrier) {
  for (const unsigned threads : {1u, 31u, 32u, 33u, 100u, 1024u}) {
    std::vector<float> values(9 * threads);
    std::iota(values.begin(), values.end(), 0.0f);
    DeviceVector<float> in(values), out(values.size());
    run_kernel(reverse_rows, {.blocks = 9, .threads = threads, .shared_bytes = sizeof(Reversal)}, in.data(),
               out.data());
    for (unsigned row = 0; row < 9; ++row)
      for (unsigned i = 0; i < threads; ++i)
        EXPECT_EQ(out[row * threads + i], values[row * threads + threads - 1 - i] + 2);
  }
}

__global__ void count_votes(int* out) {
  const int odd = threadIdx.x % 2;
  out[3 * threadIdx.x] = __syncthreads_count(odd);
  out[3 * threadIdx.x + 1] = __syncthreads_or(threadIdx.x == 7);
  out[3 * threadIdx.x + 2] = __syncthreads_and(threadIdx.x != 7);
}

TEST_P(Threads, VoteAtTheBlocksBarrier) {
  DeviceVector<int> out(3 * 67);
  run_kernel(count_votes, {.threads = 67}, out.data());
  for (unsigned thread = 0; thread < 67; ++thread) {
    EXPECT_EQ(out[3 * thread], 33);
    EXPECT_EQ(out[3 * thread + 1], 1);
    EXPECT_EQ(out[3 * thread + 2], 0);
  }
}

__global__ void shuffle_all_ways(int* out) {
  const int lane = static_cast<int>(threadIdx.x % 32), value = static_cast<int>(threadIdx.x) * 10;
  int* mine = out + threadIdx.x * 8;
  mine[0] = __shfl_sync(kFull, value, 5);
  mine[1] = __shfl_sync(kFull, value, lane + 3, 8);
  mine[2] = __shfl_up_sync(kFull, value, 2);
  mine[3] = __shfl_up_sync(kFull, value, 3, 16);
  mine[4] = __shfl_down_sync(kFull, value, 4);
  mine[5] = __shfl_down_sync(kFull, value, 1, 4);
  mine[6] = __shfl_xor_sync(kFull, value, 9);
  mine[7] = __shfl_xor_sync(kFull, value, 6, 4);  // leaves the group upwards: its own; downwards: the other's
}

TEST_P(Threads, ShuffleAsTheManualSays) {
  DeviceVector<int> out(64 * 8);
  run_kernel(shuffle_all_ways, {.threads = 64}, out.data());
  for (int thread = 0; thread < 64; ++thread) {
    const int warp = thread / 32 * 32, lane = thread % 32;
    const auto value = [&](int of) { return (warp + of) * 10; };
    const auto got = [&](int which) { return out[static_cast<std::size_t>(thread * 8 + which)]; };
    EXPECT_EQ(got(0), value(5));
    EXPECT_EQ(got(1), value(lane / 8 * 8 + (lane + 3) % 8));
    EXPECT_EQ(got(2), value(lane < 2 ? lane : lane - 2));
    EXPECT_EQ(got(3), value(lane % 16 < 3 ? lane : lane - 3));
    EXPECT_EQ(got(4), value(lane + 4 > 31 ? lane : lane + 4));
    EXPECT_EQ(got(5), value(lane % 4 == 3 ? lane : lane + 1));
    EXPECT_EQ(got(6), value(lane ^ 9));
    EXPECT_EQ(got(7), value((lane ^ 6) > lane / 4 * 4 + 3 ? lane : lane ^ 6));
  }
}

struct EightBytes {
  float a;
  int b;
};

__global__ void shuffle_types(double* out) {
  const auto lane = threadIdx.x;
  const EightBytes pair = __shfl_xor_sync(kFull, EightBytes{static_cast<float>(lane), -static_cast<int>(lane)}, 1);
  const double number = __shfl_xor_sync(kFull, 0.5 * lane, 2);
  const __half half = __shfl_xor_sync(kFull, __float2half(static_cast<float>(lane)), 4);
  out[lane] =
      static_cast<double>(pair.a) + 1000.0 * pair.b + 1e6 * number + 1e9 * static_cast<double>(__half2float(half));
}

TEST_P(Threads, ShuffleAnythingOfUpToEightBytes) {
  DeviceVector<double> out(32);
  run_kernel(shuffle_types, {}, out.data());
  for (unsigned lane = 0; lane < 32; ++lane)
    EXPECT_EQ(out[lane], (lane ^ 1) * -999.0 + (lane ^ 2) * 0.5e6 + (lane ^ 4) * 1e9);
}

__global__ void vote_in_halves(unsigned* out) {
  const unsigned lane = threadIdx.x % 32;
  const unsigned half = lane < 16 ? 0x0000ffffu : 0xffff0000u;
  unsigned* mine = out + threadIdx.x * 9;
  mine[0] = __ballot_sync(half, lane % 3 == 0);
  mine[1] = static_cast<unsigned>(__any_sync(half, lane == 20));
  mine[2] = static_cast<unsigned>(__all_sync(half, lane < 16));
  mine[3] = __reduce_add_sync(half, lane);
  mine[4] = __reduce_max_sync(half, lane);
  mine[5] = static_cast<unsigned>(__reduce_min_sync(half, -static_cast<int>(lane)));
  mine[6] = __reduce_or_sync(half, 1u << lane);
  mine[7] = __reduce_and_sync(half, ~(1u << lane));
  mine[8] = __reduce_xor_sync(half, lane);
}

TEST_P(Threads, VoteAndReduceUnderAMask) {
  DeviceVector<unsigned> out(64 * 9);
  run_kernel(vote_in_halves, {.threads = 64}, out.data());
  for (unsigned thread = 0; thread < 64; ++thread) {
    const bool low = thread % 32 < 16;
    const unsigned half = low ? 0x0000ffffu : 0xffff0000u;
    const auto got = [&](unsigned which) { return out[thread * 9 + which]; };
    EXPECT_EQ(got(0), 0x49249249u & half);
    EXPECT_EQ(got(1), low ? 0u : 1u);
    EXPECT_EQ(got(2), low ? 1u : 0u);
    EXPECT_EQ(got(3), low ? 120u : 376u);
    EXPECT_EQ(got(4), low ? 15u : 31u);
    EXPECT_EQ(static_cast<int>(got(5)), low ? -15 : -31);
    EXPECT_EQ(got(6), half);
    EXPECT_EQ(got(7), ~half);
    EXPECT_EQ(got(8), 0u);
  }
}

__global__ void exchange_in_warps(int* out) {
  auto& shared = shared_memory<int[64]>();
  for (int step = 1; step < 300; ++step) {  // more than a thread's clock counts
    shared[threadIdx.x] = static_cast<int>(threadIdx.x) + step;
    __syncwarp();
    out[threadIdx.x] = shared[threadIdx.x ^ 1];
    __syncwarp();
  }
}

TEST_P(Threads, SeeTheirWarpsMemoryAfterItsBarrier) {
  DeviceVector<int> out(64);
  run_kernel(exchange_in_warps, {.threads = 64, .shared_bytes = 256}, out.data());
  for (int thread = 0; thread < 64; ++thread) EXPECT_EQ(out[static_cast<std::size_t>(thread)], (thread ^ 1) + 299);
}

// Warps 0 and 1 hand rows to warps 2 and 3, each pair with a barrier of its own.
__global__ void produce_and_consume(int* out) {
  auto& shared = shared_memory<int[64]>();
  const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32, pair = warp % 2;
  for (int step = 0; step < 5; ++step) {
    if (warp < 2) shared[pair * 32 + lane] = step * 100 + static_cast<int>(lane);
    cuda::named_barrier_sync(1 + pair, 64);
    if (warp >= 2) out[pair * 32 + lane] = shared[pair * 32 + 31 - lane];
    cuda::named_barrier_sync(1 + pair, 64);
  }
}

TEST_P(Threads, MeetAtNamedBarriers) {
  DeviceVector<int> out(64);
  run_kernel(produce_and_consume, {.threads = 128, .shared_bytes = 256}, out.data());
  for (int i = 0; i < 64; ++i) EXPECT_EQ(out[static_cast<std::size_t>(i)], 400 + 31 - i % 32);
}

__global__ void count_values(const int* values, int n, int* histogram, int* extremes) {
  auto& counts = shared_memory<int[16]>();
  if (threadIdx.x < 16) counts[threadIdx.x] = 0;
  __syncthreads();
  for (auto i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); i < n;
       i += static_cast<int>(gridDim.x * blockDim.x)) {
    atomicAdd(&counts[values[i] % 16], 1);
    atomicMax(&extremes[0], values[i]);
    atomicMin(&extremes[1], values[i]);
  }
  __syncthreads();
  if (threadIdx.x < 16) atomicAdd(&histogram[threadIdx.x], counts[threadIdx.x]);
}

TEST_P(Threads, AddAtomically) {
  std::vector<int> values(10000), expected(16);
  for (std::size_t i = 0; i < values.size(); ++i)
    ++expected[static_cast<std::size_t>((values[i] = static_cast<int>(i * 7919 % 10007)) % 16)];
  DeviceVector<int> in(values), histogram(16), extremes({5000, 5000});
  run_kernel(count_values, {.blocks = 8, .threads = 96, .shared_bytes = 64}, in.data(), 10000, histogram.data(),
             extremes.data());
  EXPECT_EQ(histogram.values(), expected);
  EXPECT_EQ(extremes[0], *std::max_element(values.begin(), values.end()));
  EXPECT_EQ(extremes[1], *std::min_element(values.begin(), values.end()));
}

// Whole warps may leave early where nobody waits for them.
__global__ void leave_early(int* out, unsigned rows) {
  const unsigned row = threadIdx.x / 32;
  if (row >= rows) return;
  out[threadIdx.x] = __shfl_xor_sync(kFull, static_cast<int>(threadIdx.x), 1);
}

TEST_P(Threads, MayReturnWhereNobodyWaits) {
  DeviceVector<int> out(96);
  run_kernel(leave_early, {.threads = 128}, out.data(), 3u);
  for (int thread = 0; thread < 96; ++thread) EXPECT_EQ(out[static_cast<std::size_t>(thread)], thread ^ 1);
}

}  // namespace
}  // namespace lexiscope::test
