// What a CUDA thread can do, for kernels that a host compiler builds: the intrinsics of simt/intrinsics.h and the
// instructions of kernels/cuda are thin wrappers over these. Each ends the block with a Fault that names `line` where
// the kernel breaks a rule; outside a kernel each throws std::logic_error.
#pragma once

#include <vector_types.h>

#include <cstddef>
#include <cstdint>

#include "simt/source_line.h"

namespace lexiscope::simt {

// They never change while a thread runs, so the compiler may ask once.
[[gnu::const]] uint3 thread_index();
[[gnu::const]] uint3 block_index();
[[gnu::const]] dim3 block_size();
[[gnu::const]] dim3 grid_size();

/// The block's dynamic shared memory, if it has `bytes`.
std::byte* shared_memory(std::size_t bytes, std::size_t alignment, SourceLine line);

// ---- barriers ----

/// __syncthreads and its _count, _and, _or: how many threads have value != 0.
unsigned sync_block(bool value, const char* name, SourceLine line);
/// bar.sync barrier, threads: whole warps, `threads` in all.
void sync_named_barrier(unsigned barrier, unsigned threads, SourceLine line);
void sync_warp(std::uint32_t mask, SourceLine line);

// ---- operations of a warp ----

enum class Shuffle { kFromLane, kUp, kDown, kXor };
/// The 64 bits of the lane that `mode` and `operand` choose inside this lane's group of `width` lanes.
std::uint64_t shuffle(std::uint32_t mask, std::uint64_t value, Shuffle mode, int operand, int width, SourceLine line);

/// The lanes of `mask` that have value true.
std::uint32_t ballot(std::uint32_t mask, bool value, const char* name, SourceLine line);

enum class Reduction { kAdd, kMin, kMax, kAnd, kOr, kXor };
std::uint32_t reduce(std::uint32_t mask, std::uint32_t value, Reduction operation, SourceLine line);
std::int32_t reduce(std::uint32_t mask, std::int32_t value, Reduction operation, SourceLine line);

// ---- tensor cores: the fragments lie over the lanes as the PTX ISA draws them ----

/// d += a b for a [16, 16] (row-major), b [16, 8] (column-major), d [16, 8] in f32. tensor_core.cpp says how it rounds.
void mma_m16n8k16_bf16(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1, SourceLine line);
void mma_m16n8k16_f16(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1, SourceLine line);
/// d += a b for a [16, 8], b [8, 8] in tf32: the 13 low bits of each element are ignored.
void mma_m16n8k8_tf32(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1, SourceLine line);

/// Four matrices of 8 x 8 16-bit elements; lane 8 i + r has the address of row r of matrix i in shared memory.
void ldmatrix_x4(std::uint32_t (&r)[4], const void* row, bool transposed, SourceLine line);

// ---- cp.async ----

/// Copies 16 bytes from global to shared memory; they arrive no earlier than the wait, and are not to be touched until
/// then. From nullptr: zeros.
void copy_async_16(void* shared, const void* global, SourceLine line);
void commit_async_copies();
/// Until at most the `groups_left` youngest committed groups of this thread are under way.
void wait_for_async_copies(unsigned groups_left, SourceLine line);

// ---- atomics: each returns the old value ----

enum class Atomic { kAdd, kMin, kMax, kAnd, kOr, kXor, kExchange };
template <typename T>
T atomic(Atomic operation, T* address, T value, SourceLine line);
template <typename T>
T atomic_compare_and_swap(T* address, T compare, T value, SourceLine line);

/// ex2.approx.ftz.f32: subnormal arguments and results are 0. Hardware is within 2 ulp of 2^x; this is within 1.
float exp2_approx(float x);

/// Rounded to nearest, ties to even; the first in the lower half.
std::uint32_t pack_bf16x2(float low, float high);
std::uint32_t pack_f16x2(float low, float high);

}  // namespace lexiscope::simt
