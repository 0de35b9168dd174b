// Aligned host memory. Large buffers ask for huge pages: the random accesses of t-SNE and attention, and weights that
// stream by, want few TLB misses.
#include "host/core/host_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "host/core/require.h"

namespace lexiscope {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

std::shared_ptr<void> allocate_bytes(std::size_t bytes) {
  // Whole huge pages, and one more where the rest fills most of it; elsewhere the rest stays on small ones.
  const std::size_t huge = (bytes / kHugePage + (bytes % kHugePage >= kHugePage / 4 * 3)) * kHugePage;
  const std::size_t rounded = std::max((std::max<std::size_t>(bytes, 1) + 63) / 64 * 64, huge);
  void* memory = nullptr;
  if (rounded < bytes || posix_memalign(&memory, huge > 0 ? kHugePage : 64, rounded) != 0)
    fail(ErrorCode::kOutOfMemory, "out of memory: {} bytes were needed in one piece", bytes);
  if (huge > 0) madvise(memory, huge, MADV_HUGEPAGE);  // a hint: its failure changes nothing
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
