// Aligned host memory. Large buffers ask for huge pages: the random accesses of t-SNE and attention want few TLB
// misses.
#include "host/core/host_memory.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

#include "host/core/require.h"

namespace lexiscope {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

std::shared_ptr<void> allocate_bytes(std::size_t bytes) {
  const std::size_t alignment = bytes >= 2 * kHugePage ? kHugePage : 64;
  const std::size_t rounded = (std::max<std::size_t>(bytes, 1) + alignment - 1) / alignment * alignment;
  void* memory = rounded < bytes ? nullptr : std::aligned_alloc(alignment, rounded);
  if (!memory) fail(ErrorCode::kOutOfMemory, "out of memory: {} bytes were needed in one piece", bytes);
  if (alignment == kHugePage) madvise(memory, rounded, MADV_HUGEPAGE);  // a hint: its failure changes nothing
  return {memory, std::free};
}

}  // namespace

Tensor allocate_host_tensor(DType dtype, std::span<const std::size_t> shape) {
  require(shape.size() <= kMaxRank, "tensor: rank {} is more than {}", shape.size(), kMaxRank);
  std::size_t bytes = size_of(dtype);
  for (const std::size_t extent : shape)
    if (__builtin_mul_overflow(bytes, extent, &bytes))
      fail(ErrorCode::kOutOfMemory, "out of memory: a tensor's size overflows");
  auto storage = allocate_bytes(bytes);
  std::memset(storage.get(), 0, bytes);
  const TensorView view = dense_view(storage.get(), dtype, shape);
  return {std::move(storage), view};
}

std::span<std::byte> HostWorkspace::reserve(std::size_t bytes) {
  if (bytes > size_) {
    storage_.reset();  // free the old one first: the two need not fit together
    size_ = 0;
    storage_ = allocate_bytes(bytes);
    size_ = bytes;
  }
  return {static_cast<std::byte*>(storage_.get()), bytes};
}

}  // namespace lexiscope
