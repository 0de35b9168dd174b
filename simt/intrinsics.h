// CUDA's device functions under their own names, as far as the project's kernels use them, for a host compiler. CUDA's
// headers declare them for nvcc alone. Each takes the caller's source line by default, for messages.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <math.h>

#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>

#include "simt/device.h"

#define LEXISCOPE_HERE ::lexiscope::simt::SourceLine line = ::lexiscope::simt::SourceLine::current()

// ---- barriers and fences ----

inline void __syncthreads(LEXISCOPE_HERE) { lexiscope::simt::sync_block(false, "__syncthreads", line); }
inline int __syncthreads_count(int predicate, LEXISCOPE_HERE) {
  return static_cast<int>(lexiscope::simt::sync_block(predicate != 0, "__syncthreads_count", line));
}
inline int __syncthreads_or(int predicate, LEXISCOPE_HERE) {
  return lexiscope::simt::sync_block(predicate != 0, "__syncthreads_or", line) != 0 ? 1 : 0;
}
inline int __syncthreads_and(int predicate, LEXISCOPE_HERE) {
  return lexiscope::simt::sync_block(predicate == 0, "__syncthreads_and", line) == 0 ? 1 : 0;
}
inline void __syncwarp(unsigned mask = 0xffffffffu, LEXISCOPE_HERE) { lexiscope::simt::sync_warp(mask, line); }
inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline void __threadfence_block() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

// ---- shuffles ----

namespace lexiscope::simt {
template <typename T>
T shuffle_value(unsigned mask, T value, Shuffle mode, int operand, int width, SourceLine line) {
  static_assert(sizeof(T) <= sizeof(std::uint64_t));
  std::uint64_t bits = 0;
  std::memcpy(&bits, static_cast<const void*>(&value), sizeof(T));
  bits = shuffle(mask, bits, mode, operand, width, line);
  std::memcpy(static_cast<void*>(&value), &bits, sizeof(T));
  return value;
}
}  // namespace lexiscope::simt

template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, LEXISCOPE_HERE) {
  return lexiscope::simt::shuffle_value(mask, value, lexiscope::simt::Shuffle::kFromLane, source, width, line);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, LEXISCOPE_HERE) {
  return lexiscope::simt::shuffle_value(mask, value, lexiscope::simt::Shuffle::kUp, static_cast<int>(delta), width,
                                        line);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, LEXISCOPE_HERE) {
  return lexiscope::simt::shuffle_value(mask, value, lexiscope::simt::Shuffle::kDown, static_cast<int>(delta), width,
                                        line);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, LEXISCOPE_HERE) {
  return lexiscope::simt::shuffle_value(mask, value, lexiscope::simt::Shuffle::kXor, lanes, width, line);
}

// ---- votes and reductions ----

inline unsigned __ballot_sync(unsigned mask, int predicate, LEXISCOPE_HERE) {
  return lexiscope::simt::ballot(mask, predicate != 0, "__ballot_sync", line);
}
inline int __any_sync(unsigned mask, int predicate, LEXISCOPE_HERE) {
  return lexiscope::simt::ballot(mask, predicate != 0, "__any_sync", line) != 0 ? 1 : 0;
}
inline int __all_sync(unsigned mask, int predicate, LEXISCOPE_HERE) {
  return lexiscope::simt::ballot(mask, predicate == 0, "__all_sync", line) == 0 ? 1 : 0;
}

template <typename T>
concept ReducedInWarp = std::same_as<T, unsigned> || std::same_as<T, int>;
template <ReducedInWarp T>
T __reduce_add_sync(unsigned mask, T value, LEXISCOPE_HERE) {
  return lexiscope::simt::reduce(mask, value, lexiscope::simt::Reduction::kAdd, line);
}
template <ReducedInWarp T>
T __reduce_min_sync(unsigned mask, T value, LEXISCOPE_HERE) {
  return lexiscope::simt::reduce(mask, value, lexiscope::simt::Reduction::kMin, line);
}
template <ReducedInWarp T>
T __reduce_max_sync(unsigned mask, T value, LEXISCOPE_HERE) {
  return lexiscope::simt::reduce(mask, value, lexiscope::simt::Reduction::kMax, line);
}
inline unsigned __reduce_and_sync(unsigned mask, unsigned value, LEXISCOPE_HERE) {
  return lexiscope::simt::reduce(mask, value, lexiscope::simt::Reduction::kAnd, line);
}
inline unsigned __reduce_or_sync(unsigned mask, unsigned value, LEXISCOPE_HERE) {
  return lexiscope::simt::reduce(mask, value, lexiscope::simt::Reduction::kOr, line);
}
inline unsigned __reduce_xor_sync(unsigned mask, unsigned value, LEXISCOPE_HERE) {
  return lexiscope::simt::reduce(mask, value, lexiscope::simt::Reduction::kXor, line);
}

// ---- atomics ----

template <typename T>
concept AtomicInteger = std::same_as<T, int> || std::same_as<T, unsigned> || std::same_as<T, unsigned long long>;
template <typename T>
concept AtomicNumber = AtomicInteger<T> || std::same_as<T, float> || std::same_as<T, double>;

template <AtomicNumber T>
T atomicAdd(T* address, std::type_identity_t<T> value, LEXISCOPE_HERE) {
  return lexiscope::simt::atomic(lexiscope::simt::Atomic::kAdd, address, value, line);
}
template <AtomicInteger T>
T atomicMin(T* address, std::type_identity_t<T> value, LEXISCOPE_HERE) {
  return lexiscope::simt::atomic(lexiscope::simt::Atomic::kMin, address, value, line);
}
template <AtomicInteger T>
T atomicMax(T* address, std::type_identity_t<T> value, LEXISCOPE_HERE) {
  return lexiscope::simt::atomic(lexiscope::simt::Atomic::kMax, address, value, line);
}
template <AtomicInteger T>
T atomicAnd(T* address, std::type_identity_t<T> value, LEXISCOPE_HERE) {
  return lexiscope::simt::atomic(lexiscope::simt::Atomic::kAnd, address, value, line);
}
template <AtomicInteger T>
T atomicOr(T* address, std::type_identity_t<T> value, LEXISCOPE_HERE) {
  return lexiscope::simt::atomic(lexiscope::simt::Atomic::kOr, address, value, line);
}
template <AtomicInteger T>
T atomicXor(T* address, std::type_identity_t<T> value, LEXISCOPE_HERE) {
  return lexiscope::simt::atomic(lexiscope::simt::Atomic::kXor, address, value, line);
}
template <AtomicNumber T>
T atomicExch(T* address, std::type_identity_t<T> value, LEXISCOPE_HERE) {
  return lexiscope::simt::atomic(lexiscope::simt::Atomic::kExchange, address, value, line);
}
template <AtomicInteger T>
T atomicCAS(T* address, std::type_identity_t<T> compare, std::type_identity_t<T> value, LEXISCOPE_HERE) {
  return lexiscope::simt::atomic_compare_and_swap(address, compare, value, line);
}

#undef LEXISCOPE_HERE

// ---- loads and stores with a cache hint ----

template <typename T>
T __ldg(const T* address) {
  return *address;
}
template <typename T>
T __ldcs(const T* address) {
  return *address;
}
template <typename T>
void __stcs(T* address, std::type_identity_t<T> value) {
  *address = value;
}

// ---- numbers ----

inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __popcll(unsigned long long x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __ffs(int x) { return x == 0 ? 0 : std::countr_zero(static_cast<unsigned>(x)) + 1; }

// The device's are within 1 or 2 ulp of these (CUDA C++ Programming Guide, mathematical functions); the approximate
// ones lose accuracy far from 0, where these do not.
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __log2f(float x) { return log2f(x); }
inline float __sinf(float x) { return sinf(x); }
inline float __cosf(float x) { return cosf(x); }
inline float __powf(float x, float y) { return powf(x, y); }
inline int __float2int_rn(float x) { return static_cast<int>(rintf(x)); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
// Never fused with what is next to them: that is what they are for. A volatile result is rounded by itself.
inline float __fadd_rn(float x, float y) {
  const volatile float sum = x + y;
  return sum;
}
inline float __fsub_rn(float x, float y) {
  const volatile float difference = x - y;
  return difference;
}
inline float __fmul_rn(float x, float y) {
  const volatile float product = x * y;
  return product;
}

template <std::integral T>
constexpr T min(T a, std::type_identity_t<T> b) {
  return b < a ? b : a;
}
template <std::integral T>
constexpr T max(T a, std::type_identity_t<T> b) {
  return a < b ? b : a;
}
// As on the device, NaN gives way to a number.
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
