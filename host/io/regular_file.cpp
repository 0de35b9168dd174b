// Opening a file to read it, and one pass over it.
#include "host/io/regular_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "host/core/require.h"

namespace lexiscope {

// O_NONBLOCK: opening a FIFO that nobody writes to must not hang; on a regular file it has no effect.
RegularFile::RegularFile(std::filesystem::path path)
    : path_(std::move(path)), descriptor_(open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
  if (descriptor_ < 0) fail(ErrorCode::kInvalidFile, "{}: cannot be opened: {}", path_.string(), std::strerror(errno));
  struct stat status {};
  const bool known = fstat(descriptor_, &status) == 0;
  const int reason = errno;
  if (!known || !S_ISREG(status.st_mode)) {
    close(descriptor_);
    if (!known) fail(ErrorCode::kInvalidFile, "{}: cannot be read: {}", path_.string(), std::strerror(reason));
    fail(ErrorCode::kInvalidFile, "{}: is {}, not a file", path_.string(),
         S_ISDIR(status.st_mode) ? "a folder" : (S_ISFIFO(status.st_mode) ? "a FIFO" : "a device or socket"));
  }
  size_ = static_cast<std::size_t>(status.st_size);
}

RegularFile::~RegularFile() { close(descriptor_); }

void RegularFile::read_blocks(const std::function<void(std::span<const std::byte>)>& block) const {
  std::vector<std::byte> buffer(std::size_t{1} << 20);
  std::size_t done = 0;
  while (true) {
    const ssize_t got = pread(descriptor_, buffer.data(), buffer.size(), static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      fail(ErrorCode::kInputOutput, "{}: reading failed after {} bytes: {}", path_.string(), done,
           std::strerror(errno));
    if (got == 0) return;
    block(std::span(buffer).first(static_cast<std::size_t>(got)));
    done += static_cast<std::size_t>(got);
  }
}

}  // namespace lexiscope
