// Host memory for tensors and workspaces: aligned, and an Error instead of std::bad_alloc.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "lexiscope/tensor.h"

namespace lexiscope {

/// Zero-filled, dense, 64-byte aligned. Throws Error{kOutOfMemory} naming the bytes.
Tensor allocate_host_tensor(DType dtype, std::span<const std::size_t> shape);

/// A buffer that grows to the largest size asked for and keeps it. Contents are unspecified after a reserve().
class HostWorkspace {
 public:
  /// At least `bytes`, 64-byte aligned. Throws Error{kOutOfMemory} naming the bytes.
  std::span<std::byte> reserve(std::size_t bytes);

 private:
  std::shared_ptr<void> storage_;
  std::size_t size_ = 0;
};

}  // namespace lexiscope
