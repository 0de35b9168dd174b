// Device memory that is used again: cudaMalloc and cudaFree wait for the device, so blocks given back are kept for the
// next request of their size.
#pragma once

#include <cstddef>
#include <map>
#include <memory>

#include "host/engines/cuda/device.h"

namespace lexiscope::cuda {

enum class BlockSizes {
  classes,  ///< rounded up by at most an eighth, so that requests of about one size share blocks
  exact     ///< as asked for, so that a checker of memory sees an access past the end
};

/// 512 bytes or more: the next of the eight steps between two powers of two.
std::size_t size_class(std::size_t bytes) noexcept;

/// Everything that is enqueued with a block must be on one stream: a block given back while the device still uses it
/// is handed out again at once, and the stream keeps the order. Blocks keep the pool alive and the pool its device; the
/// pool frees all of its memory when the last block is back and the pool is not held any more.
class MemoryPool : public std::enable_shared_from_this<MemoryPool> {
 public:
  MemoryPool(std::shared_ptr<Device> device, BlockSizes sizes) : device_(std::move(device)), sizes_(sizes) {}
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;
  ~MemoryPool();

  /// Aligned to 256 bytes, contents unspecified; at least one byte. Throws Error{kOutOfMemory} saying how many bytes
  /// were asked for, how many are held here and how many are free on the device.
  std::shared_ptr<void> allocate(std::size_t bytes);

  /// Frees the blocks that nobody uses.
  void trim() noexcept;

  std::size_t used_bytes() const noexcept { return used_bytes_; }
  std::size_t kept_bytes() const noexcept { return kept_bytes_; }

 private:
  void* take(std::size_t size);  ///< null where the device has too little
  void give_back(void* block, std::size_t size) noexcept;
  [[noreturn]] void fail_out_of_memory(std::size_t bytes);

  std::shared_ptr<Device> device_;
  BlockSizes sizes_;
  std::multimap<std::size_t, void*> kept_;  // by size
  std::size_t used_bytes_ = 0, kept_bytes_ = 0;
};

}  // namespace lexiscope::cuda
