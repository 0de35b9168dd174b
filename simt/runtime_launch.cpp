// Entry points that launch kernels and ask about them. A kernel is known by its address once simt/kernel.h has it.
#include <cuda_runtime_api.h>

#include <algorithm>

#include "simt/fault.h"
#include "simt/grid.h"
#include "simt/kernel.h"
#include "simt/runtime_call.h"

using namespace lexiscope::simt;

namespace {

constexpr std::size_t kSharedGranularity = 128;  // bytes that a block's shared memory is rounded up to

const Kernel& kernel_at(const void* function) {
  const Kernel* kernel = find_kernel(function);
  require(kernel != nullptr, cudaErrorInvalidDeviceFunction);
  return *kernel;
}

std::size_t count(dim3 shape) { return std::size_t{shape.x} * shape.y * shape.z; }

bool within(dim3 shape, const int (&limits)[3]) {
  const auto inside = [](unsigned extent, int limit) { return extent > 0 && extent <= static_cast<unsigned>(limit); };
  return inside(shape.x, limits[0]) && inside(shape.y, limits[1]) && inside(shape.z, limits[2]);
}

void check_shape(dim3 grid, dim3 block) {
  const cudaDeviceProp device = runtime().device.properties();
  require(within(grid, device.maxGridSize) && within(block, device.maxThreadsDim), cudaErrorInvalidConfiguration);
  require(count(block) <= static_cast<std::size_t>(device.maxThreadsPerBlock), cudaErrorInvalidConfiguration);
}

// What a real device reports for what the emulator finds. A wrong barrier, shuffle or race it would not report at all:
// it would hang or give wrong numbers.
cudaError_t code_of(FaultKind kind) {
  switch (kind) {
    case FaultKind::kMisaligned:
      return cudaErrorMisalignedAddress;
    case FaultKind::kOutOfBounds:
      return cudaErrorIllegalAddress;
    default:
      return cudaErrorLaunchFailure;
  }
}

void execute(const GridLaunch& launch) {
  try {
    run_grid(launch);
  } catch (const Fault& fault) {
    throw DeviceFault(code_of(fault.kind()), fault.what());
  }
}

cudaError_t launch(const void* function, dim3 grid, dim3 block, void** arguments, std::size_t shared_bytes,
                   cudaStream_t stream) {
  const Kernel& kernel = kernel_at(function);
  check_shape(grid, block);
  const std::size_t limit = runtime().device.max_shared_bytes(function);
  require(shared_bytes <= limit, cudaErrorInvalidValue);
  require(arguments != nullptr || kernel.argument_sizes.empty(), cudaErrorInvalidValue);
  const GridLaunch enqueued{.kernel = &kernel,
                            .grid = grid,
                            .block = block,
                            .shared_bytes = shared_bytes,
                            .arguments = KernelArguments(kernel, arguments),
                            .max_shared_bytes = limit};
  runtime().streams.enqueue(stream, [enqueued] { execute(enqueued); });
  ++runtime().launches;
  return cudaSuccess;
}

// Blocks that a multiprocessor holds by its threads and its shared memory. Registers are not known here: only a
// compiler for the device gives them out.
int resident_blocks(const cudaDeviceProp& device, int threads, std::size_t shared_bytes) {
  const int warps = (threads + device.warpSize - 1) / device.warpSize;
  const int by_threads = device.maxThreadsPerMultiProcessor / (warps * device.warpSize);
  const std::size_t of_block = shared_bytes + device.reservedSharedMemPerBlock;
  const std::size_t rounded = (of_block + kSharedGranularity - 1) / kSharedGranularity * kSharedGranularity;
  const int by_shared = static_cast<int>(device.sharedMemPerMultiprocessor / rounded);
  return std::min({by_threads, by_shared, device.maxBlocksPerMultiProcessor});
}

cudaError_t occupancy(int* blocks, const void* function, int threads, std::size_t shared_bytes) {
  require(blocks != nullptr && threads > 0, cudaErrorInvalidValue);
  kernel_at(function);
  const cudaDeviceProp device = runtime().device.properties();
  const bool fits = threads <= device.maxThreadsPerBlock && shared_bytes <= runtime().device.max_shared_bytes(function);
  *blocks = fits ? resident_blocks(device, threads, shared_bytes) : 0;
  return cudaSuccess;
}

}  // namespace

// Launch attributes (clusters, programmatic launches, ...) are refused: the emulator has none of them.
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* function, void** arguments) {
  return call("cudaLaunchKernelExC", [&] {
    require(config != nullptr, cudaErrorInvalidValue);
    require(config->numAttrs == 0, cudaErrorNotSupported);
    return launch(function, config->gridDim, config->blockDim, arguments, config->dynamicSmemBytes, config->stream);
  });
}

cudaError_t cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void** arguments, std::size_t shared_bytes,
                             cudaStream_t stream) {
  return call("cudaLaunchKernel", [&] { return launch(function, grid, block, arguments, shared_bytes, stream); });
}

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  return call("cudaFuncSetAttribute", [&] {
    kernel_at(function);
    require(value >= 0, cudaErrorInvalidValue);
    if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) return cudaSuccess;  // a hint
    require(attribute == cudaFuncAttributeMaxDynamicSharedMemorySize, cudaErrorInvalidValue);
    const auto bytes = static_cast<std::size_t>(value);
    require(bytes <= runtime().device.properties().sharedMemPerBlockOptin, cudaErrorInvalidValue);
    runtime().device.set_max_shared_bytes(function, bytes);
    return cudaSuccess;
  });
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* function) {
  return call("cudaFuncGetAttributes", [&] {
    require(attributes != nullptr, cudaErrorInvalidValue);
    kernel_at(function);
    const cudaDeviceProp device = runtime().device.properties();
    *attributes = {};
    attributes->maxThreadsPerBlock = device.maxThreadsPerBlock;
    attributes->maxDynamicSharedSizeBytes = static_cast<int>(runtime().device.max_shared_bytes(function));
    attributes->binaryVersion = attributes->ptxVersion = device.major * 10 + device.minor;
    return cudaSuccess;
  });
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* function, int threads,
                                                          std::size_t shared_bytes) {
  return call("cudaOccupancyMaxActiveBlocksPerMultiprocessor",
              [&] { return occupancy(blocks, function, threads, shared_bytes); });
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void* function, int threads,
                                                                   std::size_t shared_bytes, unsigned flags) {
  return call("cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags", [&] {
    require(flags == cudaOccupancyDefault || flags == cudaOccupancyDisableCachingOverride, cudaErrorInvalidValue);
    return occupancy(blocks, function, threads, shared_bytes);
  });
}
