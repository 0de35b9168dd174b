// A file mapped read-only into memory.
#include "host/io/mapped_file.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "host/core/require.h"
#include "host/io/regular_file.h"

namespace lexiscope {

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path) {
  const RegularFile file(path);
  const std::size_t size = file.size();
  if (size == 0) return;  // mmap takes no empty range
  void* memory = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.descriptor(), 0);
  if (memory == MAP_FAILED)
    fail(ErrorCode::kInvalidFile, "{}: cannot be mapped ({} bytes): {}", path.string(), size, std::strerror(errno));
  mapping_ = std::shared_ptr<const void>(memory, [size](const void* start) { munmap(const_cast<void*>(start), size); });
  bytes_ = {static_cast<const std::byte*>(memory), size};
}

}  // namespace lexiscope
