// A file mapped read-only into memory.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>

namespace lexiscope {

/// Copies share one mapping, which ends with the last of them. An empty file maps to an empty span.
/// Throws Error{kInvalidFile} where the file is missing, is a folder, FIFO or device, or cannot be read (names it, and
/// why). As with any mapping, a file that another process cuts short meanwhile ends this one with SIGBUS.
class MappedFile {
 public:
  MappedFile() = default;
  explicit MappedFile(const std::filesystem::path& path);

  std::span<const std::byte> bytes() const noexcept { return bytes_; }
  const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::shared_ptr<const void> mapping_;
  std::span<const std::byte> bytes_;
  std::filesystem::path path_;
};

}  // namespace lexiscope
