// Kernels that are wrong, each in one way, and the fault that the emulator must name: kind, kernel, block, thread and
// line. Where another sanitizer watches the kernels' own loads and stores, what it finds in our stead is tested at the
// end.
#include <cmath>
#include <cstdlib>
#include <string>

#include "kernels/cuda/instructions.h"
#include "tests/support/run_kernel.h"

namespace lexiscope::test {
namespace {

using simt::FaultKind;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;

constexpr unsigned kFull = 0xffffffffu;

std::string at_line(int line) { return "simt_faults_test.cpp:" + std::to_string(line); }

// Every fault is found under every order of the threads, and names its line.
class Faults : public ::testing::TestWithParam<simt::ScheduleOptions> {
 protected:
  template <typename... Parameters>
  void expect_fault(FaultKind kind, int line, void (*kernel)(Parameters...), const KernelShape& shape,
                    std::type_identity_t<Parameters>... arguments) {
    const simt::Fault fault = fault_of([&] { run_kernel(kernel, shape, arguments...); });
    EXPECT_EQ(simt::name_of(fault.kind()), simt::name_of(kind)) << fault.what();
    EXPECT_EQ(fault.kernel(), "tested");
    EXPECT_THAT(fault.what(), AllOf(HasSubstr("in kernel tested, block ("), HasSubstr("thread (")));
    EXPECT_THAT(fault.what(), HasSubstr(at_line(line)));
    message_ = fault.what();
    thread_ = fault.thread();
  }

  std::string message_;
  uint3 thread_{};

 private:
  ScopedSchedule schedule_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Schedules, Faults, ::testing::ValuesIn(schedules()));

// ---- barriers ----

constexpr int kOtherBarrierLine = __LINE__ + 5;
__global__ void wait_at_two_barriers() {
  if (threadIdx.x < 64)
    __syncthreads();
  else
    __syncthreads();
}

TEST_P(Faults, DivergentBarrier) {
  const simt::Fault fault = fault_of([] { run_kernel(wait_at_two_barriers, {.threads = 128}); });
  EXPECT_EQ(fault.kind(), FaultKind::kDivergentBarrier);
  EXPECT_THAT(fault.what(), AllOf(HasSubstr(at_line(kOtherBarrierLine)), HasSubstr(at_line(kOtherBarrierLine - 2))));
}

constexpr int kSkippedBarrierLine = __LINE__ + 3;
__global__ void skip_the_barrier(int* out) {
  if (threadIdx.x == 5) return;
  __syncthreads();
  out[threadIdx.x] = 1;
}

TEST_P(Faults, ExitBeforeABarrier) {
  DeviceVector<int> out(128);
  expect_fault(FaultKind::kExitBeforeBarrier, kSkippedBarrierLine, skip_the_barrier, {.threads = 128}, out.data());
  EXPECT_THAT(message_, HasSubstr("thread (5, 0, 0) has returned"));
}

constexpr int kShortNamedBarrierLine = __LINE__ + 2;
__global__ void wait_for_too_many() {
  if (threadIdx.x < 64) cuda::named_barrier_sync(2, 96);
}

TEST_P(Faults, NamedBarrierThatTooFewReach) {
  expect_fault(FaultKind::kDivergentBarrier, kShortNamedBarrierLine, wait_for_too_many, {.threads = 128});
  EXPECT_THAT(message_, HasSubstr("waits for 96 threads, and 64 have come"));
}

constexpr int kTornWarpLine = __LINE__ + 2;
__global__ void tear_warps_at_named_barrier() {
  if (threadIdx.x % 2 == 0) cuda::named_barrier_sync(1, 32);
}

TEST_P(Faults, NamedBarrierForPartsOfWarps) {
  expect_fault(FaultKind::kDivergentBarrier, kTornWarpLine, tear_warps_at_named_barrier, {.threads = 64});
}

// ---- operations of a warp ----

constexpr int kHalfShuffleLine = __LINE__ + 4;
__global__ void shuffle_in_half_a_warp(float* out) {
  const unsigned lane = threadIdx.x % 32;
  if (lane >= 16) return;
  out[lane] = __shfl_xor_sync(kFull, 1.0f, 1);
}

TEST_P(Faults, ShuffleThatLanesNeverReach) {
  DeviceVector<float> out(32);
  expect_fault(FaultKind::kDivergentWarp, kHalfShuffleLine, shuffle_in_half_a_warp, {}, out.data());
}

constexpr int kInactiveShuffleLine = __LINE__ + 3;
__global__ void shuffle_from_outside_the_mask(float* out) {
  const unsigned lane = threadIdx.x % 32;
  if (lane < 16) out[lane] = __shfl_sync(0xffffu, 1.0f, static_cast<int>(lane + (lane == 3 ? 20 : 0)));
}

TEST_P(Faults, ShuffleFromAnInactiveLane) {
  DeviceVector<float> out(32);
  expect_fault(FaultKind::kInactiveLane, kInactiveShuffleLine, shuffle_from_outside_the_mask, {}, out.data());
  EXPECT_THAT(message_, HasSubstr("lane 23"));
  EXPECT_EQ(thread_.x, 3u);
}

constexpr int kOwnMaskLine = __LINE__ + 1;
__global__ void vote_under_a_foreign_mask(unsigned* out) { out[threadIdx.x] = __ballot_sync(0x0000ffffu, 1); }

TEST_P(Faults, LaneOutsideItsOwnMask) {
  DeviceVector<unsigned> out(32);
  expect_fault(FaultKind::kDivergentWarp, kOwnMaskLine, vote_under_a_foreign_mask, {}, out.data());
}

constexpr int kMixedOperationsLine = __LINE__ + 4;
__global__ void vote_while_others_shuffle(int* out) {
  const auto lane = static_cast<int>(threadIdx.x);
  // On one line, so that the operations alone differ.
  out[lane] = lane < 16 ? __any_sync(kFull, 1) : __shfl_sync(kFull, lane, 0);
}

TEST_P(Faults, DifferentOperationsUnderOneMask) {
  DeviceVector<int> out(32);
  expect_fault(FaultKind::kDivergentWarp, kMixedOperationsLine, vote_while_others_shuffle, {}, out.data());
}

constexpr int kStuckWarpLine = __LINE__ + 3;
__global__ void wait_for_lanes_at_the_barrier() {
  if (threadIdx.x % 32 < 8)
    __syncwarp();
  else
    __syncthreads();
}

TEST_P(Faults, WarpBarrierWhileLanesWaitElsewhere) {
  expect_fault(FaultKind::kDivergentWarp, kStuckWarpLine, wait_for_lanes_at_the_barrier, {.threads = 64});
  EXPECT_THAT(message_, HasSubstr("is in __syncthreads"));
}

// ---- launches ----

__global__ void do_nothing() {}

TEST_P(Faults, LaunchesThatNoDeviceTakes) {
  for (const KernelShape& shape :
       {KernelShape{.threads = 1025}, KernelShape{.threads = dim3(1, 1, 65)}, KernelShape{.threads = dim3(32, 0)},
        KernelShape{.blocks = dim3(1, 65536)}, KernelShape{.blocks = 0u}, KernelShape{.shared_bytes = 228 * 1024}})
    EXPECT_EQ(fault_of([&] { run_kernel(do_nothing, shape); }).kind(), FaultKind::kInvalidLaunch);
}

constexpr int kTooLittleSharedLine = __LINE__ + 1;
__global__ void ask_for_more_shared_memory(float* out) { out[0] = shared_memory<float[65]>()[0]; }

TEST_P(Faults, SharedMemoryThatTheLaunchDidNotGive) {
  DeviceVector<float> out(1);
  expect_fault(FaultKind::kOutOfBounds, kTooLittleSharedLine, ask_for_more_shared_memory, {.shared_bytes = 256},
               out.data());
  EXPECT_THAT(message_, HasSubstr("asks for 260 bytes, but the launch gave the block 256"));
}

// ---- cp.async, ldmatrix and atomics: checked in every build ----

constexpr int kMisalignedCopyLine = __LINE__ + 3;
__global__ void copy_to_a_misaligned_place(const float* in) {
  auto& shared = shared_memory<float[64]>();
  cuda::cp_async_16(cuda::shared_address(shared + 1), in);
  cuda::cp_async_commit();
  cuda::cp_async_wait<0>();
}

TEST_P(Faults, MisalignedAsynchronousCopy) {
  DeviceVector<float> in(64);
  expect_fault(FaultKind::kMisaligned, kMisalignedCopyLine, copy_to_a_misaligned_place, {.shared_bytes = 256},
               in.data());
}

constexpr int kCopyPastTheEndLine = __LINE__ + 3;
__global__ void copy_past_the_end(const float* in) {
  auto& shared = shared_memory<float[128]>();
  cuda::cp_async_16(cuda::shared_address(shared + 4 * threadIdx.x), in + 4 * threadIdx.x);
  cuda::cp_async_commit();
  cuda::cp_async_wait<0>();
}

TEST_P(Faults, AsynchronousCopyFromPastTheEnd) {
  DeviceVector<float> in(126);
  expect_fault(FaultKind::kOutOfBounds, kCopyPastTheEndLine, copy_past_the_end, {.shared_bytes = 512}, in.data());
  EXPECT_THAT(message_, HasSubstr("byte 496 of a device allocation of 504 bytes"));
  EXPECT_EQ(thread_.x, 31u);
}

constexpr int kMatrixLine = __LINE__ + 7;
__global__ void load_matrix_rows(std::uint32_t* out, unsigned stride) {
  auto& shared = shared_memory<float[128]>();
  for (unsigned i = 0; i < 4; ++i) shared[threadIdx.x + 32 * i] = 0;
  __syncthreads();
  std::uint32_t r[4];
  // Row i begins at byte i * stride.
  cuda::ldmatrix_x4(r, cuda::shared_address(shared) + threadIdx.x * stride);
  out[threadIdx.x] = r[0];
}

TEST_P(Faults, LdmatrixOutsideSharedMemoryOrMisaligned) {
  DeviceVector<std::uint32_t> out(32);
  run_kernel(load_matrix_rows, {.shared_bytes = 512}, out.data(), 16u);
  expect_fault(FaultKind::kOutOfBounds, kMatrixLine, load_matrix_rows, {.shared_bytes = 512}, out.data(), 32u);
  expect_fault(FaultKind::kMisaligned, kMatrixLine, load_matrix_rows, {.shared_bytes = 512}, out.data(), 8u);
}

constexpr int kWildAtomicLine = __LINE__ + 1;
__global__ void add_past_the_end(int* out) { atomicAdd(out + threadIdx.x, 1); }

TEST_P(Faults, AtomicPastTheEnd) {
  DeviceVector<int> out(20);
  expect_fault(FaultKind::kOutOfBounds, kWildAtomicLine, add_past_the_end, {}, out.data());
  EXPECT_THAT(message_, HasSubstr("past the end of a device allocation of 80 bytes"));
}

// ---- the kernel's own loads and stores ----

struct Row {
  float values[128];
};

[[maybe_unused]] constexpr int kUnwrittenLine = __LINE__ + 5;
__global__ void read_what_nobody_wrote(float* out) {
  auto& shared = shared_memory<Row>();
  if (threadIdx.x != 7) shared.values[threadIdx.x] = 1;
  __syncthreads();
  out[threadIdx.x] = shared.values[threadIdx.x];
}

[[maybe_unused]] constexpr int kNoWaitLine = __LINE__ + 6;
__global__ void read_before_the_copy_arrives(const float* in, float* out) {
  auto& shared = shared_memory<Row>();
  cuda::cp_async_16(cuda::shared_address(shared.values + 4 * threadIdx.x), in + 4 * threadIdx.x);
  cuda::cp_async_commit();
  __syncthreads();
  out[threadIdx.x] = shared.values[4 * threadIdx.x];
}

#if defined(LEXISCOPE_ACCESSES_REPORTED)

TEST_P(Faults, UninitializedSharedMemory) {
  DeviceVector<float> out(32);
  expect_fault(FaultKind::kUninitializedShared, kUnwrittenLine, read_what_nobody_wrote, {.shared_bytes = sizeof(Row)},
               out.data());
  EXPECT_EQ(thread_.x, 7u);
  EXPECT_THAT(message_, HasSubstr("byte 28 of the block's 512 bytes"));
}

// What an earlier block wrote does not count.
__global__ void write_in_the_first_block_only(float* out) {
  auto& shared = shared_memory<Row>();
  if (blockIdx.x == 0) shared.values[threadIdx.x] = 1;
  out[blockIdx.x * 32 + threadIdx.x] = shared.values[threadIdx.x];
}

TEST_P(Faults, SharedMemoryOfAnotherBlock) {
  DeviceVector<float> out(64);
  const auto run = [&] {
    run_kernel(write_in_the_first_block_only, {.blocks = 2, .shared_bytes = sizeof(Row)}, out.data());
  };
  const simt::Fault fault = fault_of(run);
  EXPECT_EQ(fault.kind(), FaultKind::kUninitializedShared);
  EXPECT_EQ(fault.block().x, 1u);
}

TEST_P(Faults, MissingWaitForAnAsynchronousCopy) {
  DeviceVector<float> in(128), out(32);
  expect_fault(FaultKind::kPendingCopy, kNoWaitLine, read_before_the_copy_arrives, {.shared_bytes = sizeof(Row)},
               in.data(), out.data());
}

constexpr int kWrongGroupLine = __LINE__ + 10;
__global__ void wait_for_the_older_group(const float* in, float* out) {
  auto& shared = shared_memory<Row>();
  for (int copy = 0; copy < 2; ++copy) {
    const unsigned i = 4 * threadIdx.x + 64 * copy;
    cuda::cp_async_16(cuda::shared_address(shared.values + i), in + i);
    cuda::cp_async_commit();
  }
  cuda::cp_async_wait<1>();
  const float older = shared.values[4 * threadIdx.x];
  const float younger = shared.values[4 * threadIdx.x + 64];
  out[threadIdx.x] = older + younger;
}

TEST_P(Faults, WaitForTheWrongGroup) {
  DeviceVector<float> in(128), out(16);
  expect_fault(FaultKind::kPendingCopy, kWrongGroupLine, wait_for_the_older_group,
               {.threads = 16, .shared_bytes = sizeof(Row)}, in.data(), out.data());
}

constexpr int kMissingBarrierLine = __LINE__ + 6;
__global__ void copy_without_a_barrier(const float* in, float* out) {
  auto& shared = shared_memory<Row>();
  cuda::cp_async_16(cuda::shared_address(shared.values + 4 * threadIdx.x), in + 4 * threadIdx.x);
  cuda::cp_async_commit();
  cuda::cp_async_wait<0>();
  out[threadIdx.x] = shared.values[4 * (threadIdx.x ^ 1)];
}

TEST_P(Faults, WaitWithoutABarrierForAnotherThreadsCopy) {
  DeviceVector<float> in(128), out(32);
  const simt::Fault fault =
      fault_of([&] { run_kernel(copy_without_a_barrier, {.shared_bytes = sizeof(Row)}, in.data(), out.data()); });
  EXPECT_THAT(fault.kind(), AnyOf(FaultKind::kRace, FaultKind::kPendingCopy, FaultKind::kUninitializedShared));
  EXPECT_THAT(fault.what(), AnyOf(HasSubstr(at_line(kMissingBarrierLine)), HasSubstr(at_line(kMissingBarrierLine - 1)),
                                  HasSubstr(at_line(kMissingBarrierLine - 3))));
}

constexpr int kMisalignedLine = __LINE__ + 2;
__global__ void load_misaligned(const float* in, float* out) {
  const float4 four = *reinterpret_cast<const float4*>(in + threadIdx.x);
  out[threadIdx.x] = four.x + four.w;
}

TEST_P(Faults, MisalignedVectorLoad) {
  DeviceVector<float> in(64), out(32);
  expect_fault(FaultKind::kMisaligned, kMisalignedLine, load_misaligned, {}, in.data(), out.data());
  EXPECT_THAT(message_, HasSubstr("needs a multiple of 16"));
}

constexpr int kSharedOverrunLine = __LINE__ + 3;
__global__ void overrun_shared_memory(int by) {
  auto& shared = shared_memory<Row>();
  shared.values[static_cast<int>(threadIdx.x) + by] = 1;
}

TEST_P(Faults, SharedMemoryOutOfBounds) {
  expect_fault(FaultKind::kOutOfBounds, kSharedOverrunLine, overrun_shared_memory, {.shared_bytes = sizeof(Row)}, 97);
  EXPECT_THAT(message_, HasSubstr("byte 512 of the block's 512 bytes of shared memory"));
  expect_fault(FaultKind::kOutOfBounds, kSharedOverrunLine, overrun_shared_memory, {.shared_bytes = sizeof(Row)}, -1);
  EXPECT_THAT(message_, HasSubstr("byte -4 of the block's 512 bytes of shared memory"));
}

constexpr int kGlobalOverrunLine = __LINE__ + 1;
__global__ void write_at(float* out, int by) { out[static_cast<int>(threadIdx.x) + by] = 1; }

TEST_P(Faults, GlobalMemoryOutOfBounds) {
  DeviceVector<float> out(32);
  expect_fault(FaultKind::kOutOfBounds, kGlobalOverrunLine, write_at, {}, out.data(), 1);
  EXPECT_THAT(message_, HasSubstr("0 bytes past the end of a device allocation of 128 bytes"));
  expect_fault(FaultKind::kOutOfBounds, kGlobalOverrunLine, write_at, {}, out.data(), -1);
  EXPECT_THAT(message_, HasSubstr("4 bytes before a device allocation of 128 bytes"));
}

TEST_P(Faults, HostMemory) {
  std::vector<float> host(32);
  expect_fault(FaultKind::kOutOfBounds, kGlobalOverrunLine, write_at, {}, host.data(), 0);
}

TEST_P(Faults, FreedMemory) {
  float* gone = nullptr;
  {
    DeviceVector<float> out(32);
    gone = out.data();
  }
  expect_fault(FaultKind::kOutOfBounds, kGlobalOverrunLine, write_at, {}, gone, 0);
}

constexpr int kConstantTable[4] = {1, 2, 3, 4};
__global__ void read_a_table(int* out) { out[threadIdx.x] = kConstantTable[threadIdx.x % 4]; }

TEST_P(Faults, NoneForConstants) {
  DeviceVector<int> out(32);
  run_kernel(read_a_table, {}, out.data());
  EXPECT_EQ(out[5], 2);
}

// ---- races ----

__global__ void read_a_neighbours_value(const float* in, float* out) {
  auto& shared = shared_memory<Row>();
  shared.values[threadIdx.x] = in[threadIdx.x];
  out[threadIdx.x] = shared.values[(threadIdx.x + 1) % blockDim.x];
}

// Without the barrier a thread reads what another writes: a race, or a read of what is not there yet.
TEST_P(Faults, MissingBarrierBetweenWriteAndRead) {
  DeviceVector<float> in(128), out(128);
  for (const unsigned threads : {32u, 128u}) {
    const simt::Fault fault = fault_of([&] {
      run_kernel(read_a_neighbours_value, {.threads = threads, .shared_bytes = sizeof(Row)}, in.data(), out.data());
    });
    EXPECT_THAT(fault.kind(), AnyOf(FaultKind::kRace, FaultKind::kUninitializedShared)) << fault.what();
  }
}

__global__ void overwrite_too_early(const float* in, float* out) {
  auto& shared = shared_memory<Row>();
  for (int row = 0; row < 2; ++row) {
    shared.values[threadIdx.x] = in[threadIdx.x];
    __syncthreads();
    out[threadIdx.x] = shared.values[(threadIdx.x + 1) % blockDim.x];
  }
}

TEST_P(Faults, MissingBarrierBetweenReadAndWrite) {
  DeviceVector<float> in(128), out(128);
  const simt::Fault fault = fault_of(
      [&] { run_kernel(overwrite_too_early, {.threads = 128, .shared_bytes = sizeof(Row)}, in.data(), out.data()); });
  EXPECT_EQ(fault.kind(), FaultKind::kRace) << fault.what();
  EXPECT_THAT(fault.what(), HasSubstr("simt_faults_test.cpp:"));
}

// Shuffles do not order memory; __syncwarp does.
__global__ void trust_a_shuffle(const float* in, float* out) {
  auto& shared = shared_memory<Row>();
  shared.values[threadIdx.x] = in[threadIdx.x];
  __shfl_xor_sync(kFull, 1, 1);
  out[threadIdx.x] = shared.values[threadIdx.x ^ 1];
}

TEST_P(Faults, ShuffleInPlaceOfAWarpBarrier) {
  DeviceVector<float> in(32), out(32);
  const simt::Fault fault =
      fault_of([&] { run_kernel(trust_a_shuffle, {.shared_bytes = sizeof(Row)}, in.data(), out.data()); });
  EXPECT_EQ(fault.kind(), FaultKind::kRace) << fault.what();
}

__global__ void sync_half_the_lanes(const float* in, float* out) {
  auto& shared = shared_memory<Row>();
  const unsigned half = threadIdx.x < 16 ? 0x0000ffffu : 0xffff0000u;
  shared.values[threadIdx.x] = in[threadIdx.x];
  __syncwarp(half);
  out[threadIdx.x] = shared.values[threadIdx.x ^ (in[0] > 0 ? 16 : 1)];
}

TEST_P(Faults, WarpBarrierOfTheWrongLanes) {
  DeviceVector<float> within(32), across(std::vector<float>(32, 1.0f)), out(32);
  run_kernel(sync_half_the_lanes, {.shared_bytes = sizeof(Row)}, within.data(), out.data());
  const simt::Fault fault =
      fault_of([&] { run_kernel(sync_half_the_lanes, {.shared_bytes = sizeof(Row)}, across.data(), out.data()); });
  EXPECT_THAT(fault.kind(), AnyOf(FaultKind::kRace, FaultKind::kUninitializedShared)) << fault.what();
}

__global__ void hand_over(int* out, unsigned reader) {
  auto& shared = shared_memory<Row>();
  const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  if (warp == 0) shared.values[lane] = 1;
  if (warp < 2) cuda::named_barrier_sync(1, 64);
  cuda::named_barrier_sync(2 + warp / 2, 64);  // orders warps 0 and 1, and 2 and 3
  if (warp == reader) out[lane] = static_cast<int>(shared.values[lane]);
}

TEST_P(Faults, NamedBarrierOfOtherWarps) {
  DeviceVector<int> out(32);
  run_kernel(hand_over, {.threads = 128, .shared_bytes = sizeof(Row)}, out.data(), 1u);
  const simt::Fault fault =
      fault_of([&] { run_kernel(hand_over, {.threads = 128, .shared_bytes = sizeof(Row)}, out.data(), 3u); });
  EXPECT_THAT(fault.kind(), AnyOf(FaultKind::kRace, FaultKind::kUninitializedShared)) << fault.what();
}

constexpr int kGlobalRaceLine = __LINE__ + 1;
__global__ void write_one_place(float* out) { out[threadIdx.x / 2] = 1; }

TEST_P(Faults, RaceOnGlobalMemory) {
  DeviceVector<float> out(32);
  expect_fault(FaultKind::kRace, kGlobalRaceLine, write_one_place, {.threads = 64}, out.data());
}

__global__ void exchange_through_global_memory(float* memory, float* out, bool barrier) {
  memory[threadIdx.x] = 1;
  if (barrier) __syncthreads();
  out[threadIdx.x] = memory[(threadIdx.x + 40) % 64];
}

TEST_P(Faults, MissingBarrierBeforeAReadOfGlobalMemory) {
  DeviceVector<float> memory(64), out(64);
  run_kernel(exchange_through_global_memory, {.threads = 64}, memory.data(), out.data(), true);
  const simt::Fault fault =
      fault_of([&] { run_kernel(exchange_through_global_memory, {.threads = 64}, memory.data(), out.data(), false); });
  EXPECT_EQ(fault.kind(), FaultKind::kRace) << fault.what();
}

// Neighbours may write the two halves of a word, and the four bytes.
template <typename T>
__global__ void write_parts_of_words(T* out, unsigned shift) {
  auto& shared = shared_memory<T[64]>();
  shared[threadIdx.x] = static_cast<T>(threadIdx.x);
  __syncthreads();
  out[threadIdx.x >> shift] = shared[threadIdx.x ^ 1];
}

TEST_P(Faults, PartsOfWordsAreToldApart) {
  DeviceVector<std::uint16_t> halves(64);
  run_kernel(write_parts_of_words<std::uint16_t>, {.threads = 64, .shared_bytes = 128}, halves.data(), 0u);
  EXPECT_EQ(halves[6], 7);
  DeviceVector<std::uint8_t> bytes(64);
  run_kernel(write_parts_of_words<std::uint8_t>, {.threads = 64, .shared_bytes = 64}, bytes.data(), 0u);
  EXPECT_EQ(bytes[7], 6);
  const auto race = [&] {
    run_kernel(write_parts_of_words<std::uint16_t>, {.threads = 64, .shared_bytes = 128}, halves.data(), 1u);
  };
  EXPECT_EQ(fault_of(race).kind(), FaultKind::kRace);
}

__global__ void add_and_write(int* out, bool all_atomic) {
  if (threadIdx.x == 9 && !all_atomic)
    out[0] = 1;
  else
    atomicAdd(out, 1);
}

TEST_P(Faults, AtomicAndPlainWriteRace) {
  DeviceVector<int> out(1);
  run_kernel(add_and_write, {}, out.data(), true);
  EXPECT_EQ(out[0], 32);
  EXPECT_EQ(fault_of([&] { run_kernel(add_and_write, {}, out.data(), false); }).kind(), FaultKind::kRace);
}

#else

// What was never written, or has not arrived, is NaN.
TEST_P(Faults, NanStandsForWhatIsNotThere) {
  DeviceVector<float> in(128), out(32);
  run_kernel(read_what_nobody_wrote, {.shared_bytes = sizeof(Row)}, out.data());
  for (unsigned i = 0; i < 32; ++i) EXPECT_EQ(std::isnan(out[i]), i == 7);
  run_kernel(read_before_the_copy_arrives, {.shared_bytes = sizeof(Row)}, in.data(), out.data());
  EXPECT_TRUE(std::isnan(out[0]));
}

#endif

#if defined(LEXISCOPE_WATCHED_BY_ASAN)

__global__ void overrun(float* out, int by) {
  auto& shared = shared_memory<Row>();
  shared.values[static_cast<int>(threadIdx.x) + by] = 1;
  out[static_cast<int>(threadIdx.x) + by] = 1;
}

TEST(UnderAddressSanitizer, AccessesOutOfBoundsAreSeen) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  DeviceVector<float> large(128), small(32);
  run_kernel(overrun, {.shared_bytes = sizeof(Row)}, large.data(), 96);
  EXPECT_DEATH(run_kernel(overrun, {.shared_bytes = sizeof(Row)}, large.data(), 97), "use-after-poison");
  EXPECT_DEATH(run_kernel(overrun, {.shared_bytes = sizeof(Row)}, large.data(), -1), "use-after-poison");
  EXPECT_DEATH(run_kernel(overrun, {.shared_bytes = sizeof(Row)}, small.data(), 1), "heap-buffer-overflow");
}

#elif defined(LEXISCOPE_WATCHED_BY_TSAN)

__global__ void read_a_neighbours_value(const float* in, float* out, bool barrier) {
  auto& shared = shared_memory<Row>();
  shared.values[threadIdx.x] = in[threadIdx.x];
  if (barrier) __syncthreads();
  out[threadIdx.x] = shared.values[(threadIdx.x + 1) % blockDim.x];
}

// A CUDA thread is a thread to the sanitizer too: it needs no unlucky schedule to see that a barrier is missing.
TEST(UnderThreadSanitizer, MissingBarriersAreSeen) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  DeviceVector<float> in(64), out(64);
  const auto run_and_exit = [&](bool barrier) {
    run_kernel(read_a_neighbours_value, {.threads = 64, .shared_bytes = sizeof(Row)}, in.data(), out.data(), barrier);
    std::exit(0);  // 66 where the sanitizer has something to say
  };
  EXPECT_EXIT(run_and_exit(true), ::testing::ExitedWithCode(0), "");
  EXPECT_EXIT(run_and_exit(false), ::testing::ExitedWithCode(66), "data race.*\n.*read_a_neighbours_value");
}

#endif

// A fault leaves nothing behind: the same worker's next block is clean.
TEST_P(Faults, LeaveTheNextGridAlone) {
  DeviceVector<float> out(128);
  DeviceVector<int> ints(128);
  for (int repeat = 0; repeat < 3; ++repeat) {
    fault_of([&] { run_kernel(skip_the_barrier, {.threads = 128}, ints.data()); });
    run_kernel(do_nothing, {.blocks = 7, .threads = 128});
  }
}

TEST(Emulator, RefusesDeviceFunctionsOutsideKernels) {
  EXPECT_THROW(__syncthreads(), std::logic_error);
  EXPECT_THROW(cuda::cp_async_commit(), std::logic_error);
}

}  // namespace
}  // namespace lexiscope::test
