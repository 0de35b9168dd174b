#include "host/engines/cuda/memory_pool.h"

#include <algorithm>
#include <bit>

#include "host/core/require.h"

namespace lexiscope::cuda {

std::size_t size_class(std::size_t bytes) noexcept {
  constexpr std::size_t kSmallest = 512;
  if (bytes <= kSmallest) return kSmallest;
  const std::size_t step = std::bit_floor(bytes - 1) / 8;  // a power of two
  return (bytes + step - 1) & ~(step - 1);
}

MemoryPool::~MemoryPool() { trim(); }

std::shared_ptr<void> MemoryPool::allocate(std::size_t bytes) {
  device_->enter();
  const std::size_t wanted = std::max<std::size_t>(bytes, 1);
  const std::size_t size = sizes_ == BlockSizes::exact ? wanted : size_class(wanted);
  if (size < wanted) fail_out_of_memory(bytes);  // past what can be counted
  void* const block = take(size);
  if (!block) fail_out_of_memory(bytes);
  used_bytes_ += size;
  return {block, [pool = shared_from_this(), size](void* given) { pool->give_back(given, size); }};
}

void* MemoryPool::take(std::size_t size) {
  if (const auto found = kept_.find(size); found != kept_.end()) {
    void* const block = found->second;
    kept_.erase(found);
    kept_bytes_ -= size;
    return block;
  }
  void* block = nullptr;
  cudaError_t status = cudaMalloc(&block, size);
  if (status == cudaErrorMemoryAllocation && !kept_.empty()) {
    cudaGetLastError();  // this request's alone
    trim();
    status = cudaMalloc(&block, size);
  }
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    return nullptr;
  }
  device_->check(status, "cudaMalloc");
  return block;
}

void MemoryPool::give_back(void* block, std::size_t size) noexcept {
  used_bytes_ -= size;
  try {
    kept_.emplace(size, block);
    kept_bytes_ += size;
  } catch (const std::bad_alloc&) {
    device_->ignore(cudaFree(block));
  }
}

void MemoryPool::trim() noexcept {
  for (const auto& [size, block] : kept_) device_->ignore(cudaFree(block));
  kept_.clear();
  kept_bytes_ = 0;
}

void MemoryPool::fail_out_of_memory(std::size_t bytes) {
  std::size_t free = 0, total = 0;
  device_->check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  fail(ErrorCode::kOutOfMemory,
       "out of device memory: {} bytes were asked for; of the {} bytes of device {} ({}) this engine holds {}, {} are "
       "free",
       bytes, total, device_->index(), device_->properties().name, used_bytes_ + kept_bytes_, free);
}

}  // namespace lexiscope::cuda
