// Entry points that allocate, free and describe memory.
#include <cuda_runtime_api.h>

#include "simt/runtime_call.h"

using namespace lexiscope::simt;

namespace {

void* allocate_pinned(std::size_t bytes) {
  void* pointer = bytes == 0 ? nullptr : runtime().pinned.allocate(bytes);
  require(bytes == 0 || pointer != nullptr, cudaErrorMemoryAllocation);
  return pointer;
}

}  // namespace

cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
  return call("cudaMalloc", [&] {
    runtime().streams.refuse_while_capturing();
    require(pointer != nullptr, cudaErrorInvalidValue);
    *pointer = bytes == 0 ? nullptr : runtime().memory.allocate(bytes, DeviceMemory::Start::kLive);
    require(bytes == 0 || *pointer != nullptr, cudaErrorMemoryAllocation);
    return cudaSuccess;
  });
}

// Waits for the whole device first, as drivers do: nothing that still executes can lose its memory.
cudaError_t cudaFree(void* pointer) {
  return release_call("cudaFree", [&] {
    if (pointer == nullptr) return cudaSuccess;
    runtime().streams.refuse_while_capturing();
    require(runtime().memory.announce_free(pointer), cudaErrorInvalidValue);
    const cudaError_t code = runtime().wait_for_all();
    runtime().memory.free(pointer);
    return code;
  });
}

// In the order of the stream: before its turn there the memory is not the caller's yet. Where the device is full of
// what streams are yet to free, it waits for them.
cudaError_t cudaMallocAsync(void** pointer, std::size_t bytes, cudaStream_t stream) {
  return call("cudaMallocAsync", [&] {
    require(pointer != nullptr, cudaErrorInvalidValue);
    runtime().streams.check_stream(stream);
    *pointer = nullptr;
    if (bytes == 0) return cudaSuccess;
    DeviceMemory& memory = runtime().memory;
    void* allocated = memory.allocate(bytes, DeviceMemory::Start::kReserved);
    if (allocated == nullptr) {
      runtime().tasks.wait_for_all();
      allocated = memory.allocate(bytes, DeviceMemory::Start::kReserved);
    }
    require(allocated != nullptr, cudaErrorMemoryAllocation);
    runtime().streams.enqueue(
        stream, [&memory, allocated] { memory.make_live(allocated); }, TaskKind::kHostWork);
    *pointer = allocated;
    return cudaSuccess;
  });
}

cudaError_t cudaFreeAsync(void* pointer, cudaStream_t stream) {
  return release_call("cudaFreeAsync", [&] {
    if (pointer == nullptr) return cudaSuccess;
    runtime().streams.check_stream(stream);
    DeviceMemory& memory = runtime().memory;
    require(memory.announce_free(pointer), cudaErrorInvalidValue);
    runtime().streams.enqueue(
        stream, [&memory, pointer] { memory.free(pointer); }, TaskKind::kHostWork);
    return cudaSuccess;
  });
}

cudaError_t cudaMallocHost(void** pointer, std::size_t bytes) {
  return call("cudaMallocHost", [&] {
    runtime().streams.refuse_while_capturing();
    require(pointer != nullptr, cudaErrorInvalidValue);
    *pointer = allocate_pinned(bytes);
    return cudaSuccess;
  });
}

cudaError_t cudaHostAlloc(void** pointer, std::size_t bytes, unsigned flags) {
  return call("cudaHostAlloc", [&] {
    runtime().streams.refuse_while_capturing();
    require(pointer != nullptr, cudaErrorInvalidValue);
    require((flags & ~(cudaHostAllocPortable | cudaHostAllocMapped | cudaHostAllocWriteCombined)) == 0,
            cudaErrorInvalidValue);
    *pointer = allocate_pinned(bytes);
    return cudaSuccess;
  });
}

cudaError_t cudaFreeHost(void* pointer) {
  return release_call("cudaFreeHost", [&] {
    if (pointer == nullptr) return cudaSuccess;
    runtime().streams.refuse_while_capturing();
    const cudaError_t code = runtime().wait_for_all();
    require(runtime().pinned.free(pointer), cudaErrorInvalidValue);
    return code;
  });
}

cudaError_t cudaHostRegister(void* pointer, std::size_t bytes, unsigned flags) {
  return call("cudaHostRegister", [&] {
    require(pointer != nullptr && bytes > 0 && !runtime().memory.contains(pointer), cudaErrorInvalidValue);
    require((flags & ~(cudaHostRegisterPortable | cudaHostRegisterMapped | cudaHostRegisterReadOnly)) == 0,
            cudaErrorInvalidValue);
    require(runtime().pinned.add(pointer, bytes), cudaErrorHostMemoryAlreadyRegistered);
    return cudaSuccess;
  });
}

cudaError_t cudaHostUnregister(void* pointer) {
  return release_call("cudaHostUnregister", [&] {
    const cudaError_t code = runtime().wait_for_all();
    require(runtime().pinned.remove(pointer), cudaErrorHostMemoryNotRegistered);
    return code;
  });
}

cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total_bytes) {
  return call("cudaMemGetInfo", [&] {
    require(free_bytes != nullptr && total_bytes != nullptr, cudaErrorInvalidValue);
    const auto usage = runtime().memory.usage();
    *free_bytes = usage.limit > usage.bytes ? usage.limit - usage.bytes : 0;
    *total_bytes = usage.limit;
    return cudaSuccess;
  });
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  return call("cudaPointerGetAttributes", [&] {
    require(attributes != nullptr && pointer != nullptr, cudaErrorInvalidValue);
    *attributes = {};
    void* address = const_cast<void*>(pointer);
    if (runtime().memory.covers(pointer, 1)) {
      attributes->type = cudaMemoryTypeDevice;
      attributes->devicePointer = address;
    } else if (runtime().pinned.contains(pointer)) {
      attributes->type = cudaMemoryTypeHost;
      attributes->hostPointer = attributes->devicePointer = address;
    } else {
      attributes->type = cudaMemoryTypeUnregistered;
      attributes->hostPointer = address;
      attributes->device = cudaInvalidDeviceId;
    }
    return cudaSuccess;
  });
}
