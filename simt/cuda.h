// The one header of simt/ that kernels include. Under nvcc it is CUDA's own headers and shared_memory<T>(). Under a
// host compiler it is the same headers of NVIDIA's with the device's side supplied by the emulator: a kernel is then an
// ordinary function that simt/grid.h runs.
//
// What a kernel must not use, since a host compiler cannot see what it means: <<<>>> (kernels/cuda/launch.h launches),
// static __shared__ variables (shared_memory<T>() is the block's), __constant__ and __device__ variables.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#if defined(__CUDACC__)

namespace lexiscope {

/// The block's dynamic shared memory as a T: the launch passes sizeof(T). Its bytes are undefined at first.
template <typename T>
__device__ __forceinline__ T& shared_memory() {
  extern __shared__ __align__(1024) unsigned char lexiscope_shared_memory[];
  static_assert(alignof(T) <= 1024);
  // A comment in the PTX, nothing in the machine code: scripts/sass_report.py reads how much a kernel asks for.
  asm volatile("// shared memory: %0 bytes" ::"n"(sizeof(T)));
  return *reinterpret_cast<T*>(lexiscope_shared_memory);
}

}  // namespace lexiscope

#else

#include "simt/device.h"
#include "simt/intrinsics.h"
#include "simt/kernel.h"
#include "simt/sort_pairs.h"

namespace lexiscope {

/// The block's dynamic shared memory as a T: the launch passes sizeof(T). To read a byte before the block has written
/// it is a fault.
template <typename T>
T& shared_memory(simt::SourceLine line = simt::SourceLine::current()) {
  return *reinterpret_cast<T*>(simt::shared_memory(sizeof(T), alignof(T), line));
}

}  // namespace lexiscope

// Macros, since the language's own names have to give way.
#define threadIdx (::lexiscope::simt::thread_index())
#define blockIdx (::lexiscope::simt::block_index())
#define blockDim (::lexiscope::simt::block_size())
#define gridDim (::lexiscope::simt::grid_size())
#define __launch_bounds__(...)
#undef __shared__
#define __shared__ static_assert(false, "shared_memory<T>() is the block's shared memory");
#undef __constant__
#define __constant__ static_assert(false, "the emulator knows no __constant__ variables");

#endif
