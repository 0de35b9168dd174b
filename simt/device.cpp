#include "simt/device.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <atomic>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <type_traits>

#include "simt/block.h"

namespace lexiscope::simt {
uint3 thread_index() { return running_block("threadIdx").running().index; }
uint3 block_index() { return running_block("blockIdx").index(); }
dim3 block_size() { return running_block("blockDim").launch().block; }
dim3 grid_size() { return running_block("gridDim").launch().grid; }

std::byte* shared_memory(std::size_t bytes, std::size_t alignment, SourceLine line) {
  return running_block("shared_memory").shared_memory(bytes, alignment, line);
}

unsigned sync_block(bool value, const char* name, SourceLine line) {
  return running_block(name).sync_block(value ? 1 : 0, name, line);
}

void sync_named_barrier(unsigned barrier, unsigned threads, SourceLine line) {
  running_block("bar.sync").sync_named(barrier, threads, line);
}

void sync_warp(std::uint32_t mask, SourceLine line) { running_block("__syncwarp").sync_warp(mask, line); }

void copy_async_16(void* shared, const void* global, SourceLine line) {
  running_block("cp.async").issue_copy(static_cast<std::byte*>(shared), static_cast<const std::byte*>(global), line);
}

void commit_async_copies() { running_block("cp.async.commit_group").commit_copies(); }

void wait_for_async_copies(unsigned groups_left, SourceLine line) {
  running_block("cp.async.wait_group").wait_for_copies(groups_left, line);
}

// ---- atomics ----

template <typename T>
T atomic(Atomic operation, T* address, T value, SourceLine line) {
  running_block("atomic").check_access(address, sizeof(T), Access::kAtomic, sizeof(T), "atomic", line);
  const std::atomic_ref<T> target(*address);
  const auto combined = [&](T old) -> T {
    if (operation == Atomic::kAdd) return old + value;
    if (operation == Atomic::kMin) return std::min(old, value);
    if (operation == Atomic::kMax) return std::max(old, value);
    if constexpr (std::is_integral_v<T>) {
      if (operation == Atomic::kAnd) return old & value;
      if (operation == Atomic::kOr) return old | value;
      if (operation == Atomic::kXor) return old ^ value;
    }
    return value;
  };
  T old = target.load();
  while (!target.compare_exchange_weak(old, combined(old))) {
  }
  return old;
}

template <typename T>
T atomic_compare_and_swap(T* address, T compare, T value, SourceLine line) {
  running_block("atomic").check_access(address, sizeof(T), Access::kAtomic, sizeof(T), "atomicCAS", line);
  std::atomic_ref<T>(*address).compare_exchange_strong(compare, value);
  return compare;
}

template int atomic(Atomic, int*, int, SourceLine);
template unsigned atomic(Atomic, unsigned*, unsigned, SourceLine);
template unsigned long long atomic(Atomic, unsigned long long*, unsigned long long, SourceLine);
template float atomic(Atomic, float*, float, SourceLine);
template double atomic(Atomic, double*, double, SourceLine);
template int atomic_compare_and_swap(int*, int, int, SourceLine);
template unsigned atomic_compare_and_swap(unsigned*, unsigned, unsigned, SourceLine);
template unsigned long long atomic_compare_and_swap(unsigned long long*, unsigned long long, unsigned long long,
                                                    SourceLine);

float exp2_approx(float x) {
  const auto flushed = [](float v) { return std::fabs(v) < FLT_MIN ? std::copysign(0.0f, v) : v; };
  return flushed(std::exp2(flushed(x)));
}

std::uint32_t pack_bf16x2(float low, float high) {
  const __nv_bfloat162 packed = __floats2bfloat162_rn(low, high);
  std::uint32_t bits;
  std::memcpy(&bits, &packed, sizeof(bits));
  return bits;
}

std::uint32_t pack_f16x2(float low, float high) {
  const __half2 packed = __floats2half2_rn(low, high);
  std::uint32_t bits;
  std::memcpy(&bits, &packed, sizeof(bits));
  return bits;
}

}  // namespace lexiscope::simt
