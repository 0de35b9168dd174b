// The machine instructions that CUDA has no function for, each twice: as inline PTX for nvcc, and as the emulator's
// function for a host compiler. Only here does the project write PTX.
//
// A warp's mma fragments lie over its lanes as the PTX ISA draws them. With g = lane / 4 and q = lane % 4, and two
// 16-bit elements to a register, the lower column in the lower half:
//   a [16, 16]  a[0] = (g, 2q), a[1] = (g + 8, 2q), a[2] = (g, 2q + 8), a[3] = (g + 8, 2q + 8)
//   b [16, 8]   b0 = (2q, g), b1 = (2q + 8, g), each with the row below it
//   d [16, 8]   d[0], d[1] = (g, 2q), (g, 2q + 1); d[2], d[3] = the same 8 rows further down
// and for tf32, one element to a register:
//   a [16, 8]   a[0] = (g, q), a[1] = (g + 8, q), a[2] = (g, q + 4), a[3] = (g + 8, q + 4)
//   b [8, 8]    b0 = (q, g), b1 = (q + 4, g)
#pragma once

#include <cmath>
#include <cstdint>

#include "simt/cuda.h"

namespace lexiscope::cuda {

#if defined(__CUDACC__)

/// Where a byte of shared memory lies, for the instructions that take such addresses: offsets in bytes may be added.
using SharedAddress = std::uint32_t;

__device__ __forceinline__ SharedAddress shared_address(const void* pointer) {
  return static_cast<SharedAddress>(__cvta_generic_to_shared(pointer));
}

/// d += a b in f32, of bf16.
__device__ __forceinline__ void mma_m16n8k16_bf16(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                                  std::uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// d += a b in f32, of f16.
__device__ __forceinline__ void mma_m16n8k16_f16(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                                 std::uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// d += a b in f32, of tf32: f32 whose 13 low bits are ignored.
__device__ __forceinline__ void mma_m16n8k8_tf32(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                                 std::uint32_t b1) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// Four matrices of 8 x 8 16-bit elements: lane 8 i + r gives the address of row r of matrix i (16 bytes, aligned), and
/// each lane gets elements (g, 2q) and (g, 2q + 1) of matrix i in r[i].
__device__ __forceinline__ void ldmatrix_x4(std::uint32_t (&r)[4], SharedAddress row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(row)
               : "memory");
}

/// The same of the transposed matrices: elements (2q, g) and (2q + 1, g).
__device__ __forceinline__ void ldmatrix_x4_trans(std::uint32_t (&r)[4], SharedAddress row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(row)
               : "memory");
}

/// Begins to copy 16 bytes from global memory, both addresses aligned to 16. They are there after the group's wait.
__device__ __forceinline__ void cp_async_16(SharedAddress to, const void* from) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory");
}

/// The same, or zeros without reading `from` where `inside` is false.
__device__ __forceinline__ void cp_async_16_or_zero(SharedAddress to, const void* from, bool inside) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(inside ? 16 : 0) : "memory");
}

/// Closes a group: the thread's copies since the last one.
__device__ __forceinline__ void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

/// Waits until at most the kGroupsLeft youngest groups of this thread are under way. Other threads see the copies after
/// a barrier.
template <int kGroupsLeft>
__device__ __forceinline__ void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kGroupsLeft) : "memory");
}

/// 2^x within 2 ulp; subnormal arguments and results are 0.
__device__ __forceinline__ float exp2_approx(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// 1 / x within 1 ulp; subnormal arguments and results are 0.
__device__ __forceinline__ float reciprocal_approx(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// The square root within 2^-23 of itself; unlike sqrtf it has no branch.
__device__ __forceinline__ float sqrt_approx(float x) {
  float y;
  asm("sqrt.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// Two floats rounded to nearest, the first in the lower half.
__device__ __forceinline__ std::uint32_t pack_bf16x2(float low, float high) {
  std::uint32_t packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
}

__device__ __forceinline__ std::uint32_t pack_f16x2(float low, float high) {
  std::uint32_t packed;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
}

__device__ __forceinline__ void store_shared(SharedAddress to, std::uint32_t value) {
  asm volatile("st.shared.b32 [%0], %1;" ::"r"(to), "r"(value) : "memory");
}

__device__ __forceinline__ void store_shared(SharedAddress to, float value) {
  asm volatile("st.shared.f32 [%0], %1;" ::"r"(to), "f"(value) : "memory");
}

__device__ __forceinline__ void store_shared(SharedAddress to, float4 value) {
  asm volatile("st.shared.v4.f32 [%0], {%1,%2,%3,%4};" ::"r"(to), "f"(value.x), "f"(value.y), "f"(value.z), "f"(value.w)
               : "memory");
}

__device__ __forceinline__ float load_shared_f32(SharedAddress from) {
  float value;
  asm volatile("ld.shared.f32 %0, [%1];" : "=f"(value) : "r"(from) : "memory");
  return value;
}

__device__ __forceinline__ float4 load_shared_f32x4(SharedAddress from) {
  float4 value;
  asm volatile("ld.shared.v4.f32 {%0,%1,%2,%3}, [%4];"
               : "=f"(value.x), "=f"(value.y), "=f"(value.z), "=f"(value.w)
               : "r"(from)
               : "memory");
  return value;
}

__device__ __forceinline__ uint4 load_shared_16(SharedAddress from) {
  uint4 value;
  asm volatile("ld.shared.v4.b32 {%0,%1,%2,%3}, [%4];"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
               : "r"(from)
               : "memory");
  return value;
}

/// A barrier among `threads` threads of the block, whole warps; number 0 is that of __syncthreads.
__device__ __forceinline__ void named_barrier_sync(unsigned number, unsigned threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(number), "r"(threads) : "memory");
}

#else

using SharedAddress = std::uintptr_t;
using simt::SourceLine;

inline SharedAddress shared_address(const void* pointer) { return reinterpret_cast<SharedAddress>(pointer); }

inline void mma_m16n8k16_bf16(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1,
                              SourceLine line = SourceLine::current()) {
  simt::mma_m16n8k16_bf16(d, a, b0, b1, line);
}

inline void mma_m16n8k16_f16(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1,
                             SourceLine line = SourceLine::current()) {
  simt::mma_m16n8k16_f16(d, a, b0, b1, line);
}

inline void mma_m16n8k8_tf32(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1,
                             SourceLine line = SourceLine::current()) {
  simt::mma_m16n8k8_tf32(d, a, b0, b1, line);
}

inline void ldmatrix_x4(std::uint32_t (&r)[4], SharedAddress row, SourceLine line = SourceLine::current()) {
  simt::ldmatrix_x4(r, reinterpret_cast<const void*>(row), false, line);
}

inline void ldmatrix_x4_trans(std::uint32_t (&r)[4], SharedAddress row, SourceLine line = SourceLine::current()) {
  simt::ldmatrix_x4(r, reinterpret_cast<const void*>(row), true, line);
}

inline void cp_async_16(SharedAddress to, const void* from, SourceLine line = SourceLine::current()) {
  simt::copy_async_16(reinterpret_cast<void*>(to), from, line);
}

inline void cp_async_16_or_zero(SharedAddress to, const void* from, bool inside,
                                SourceLine line = SourceLine::current()) {
  simt::copy_async_16(reinterpret_cast<void*>(to), inside ? from : nullptr, line);
}

inline void cp_async_commit() { simt::commit_async_copies(); }

template <int kGroupsLeft>
void cp_async_wait(SourceLine line = SourceLine::current()) {
  simt::wait_for_async_copies(kGroupsLeft, line);
}

inline float exp2_approx(float x) { return simt::exp2_approx(x); }

inline float reciprocal_approx(float x) { return 1.0f / x; }

inline float sqrt_approx(float x) { return std::sqrt(x); }

inline std::uint32_t pack_bf16x2(float low, float high) { return simt::pack_bf16x2(low, high); }

inline std::uint32_t pack_f16x2(float low, float high) { return simt::pack_f16x2(low, high); }

inline void store_shared(SharedAddress to, std::uint32_t value) { *reinterpret_cast<std::uint32_t*>(to) = value; }

inline void store_shared(SharedAddress to, float value) { *reinterpret_cast<float*>(to) = value; }

inline void store_shared(SharedAddress to, float4 value) { *reinterpret_cast<float4*>(to) = value; }

inline float load_shared_f32(SharedAddress from) { return *reinterpret_cast<const float*>(from); }

inline float4 load_shared_f32x4(SharedAddress from) { return *reinterpret_cast<const float4*>(from); }

inline uint4 load_shared_16(SharedAddress from) { return *reinterpret_cast<const uint4*>(from); }

inline void named_barrier_sync(unsigned number, unsigned threads, SourceLine line = SourceLine::current()) {
  simt::sync_named_barrier(number, threads, line);
}

#endif

}  // namespace lexiscope::cuda
