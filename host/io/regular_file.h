// Opening a file to read it: what cannot be read as a plain file is refused here, once, with the reason.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>

namespace lexiscope {

/// An open, regular, readable file.
class RegularFile {
 public:
  /// Throws Error{kInvalidFile} naming the file and why: missing, a folder, a FIFO or device, no permission.
  explicit RegularFile(std::filesystem::path path);
  RegularFile(const RegularFile&) = delete;
  RegularFile& operator=(const RegularFile&) = delete;
  ~RegularFile();

  int descriptor() const noexcept { return descriptor_; }
  std::size_t size() const noexcept { return size_; }

  /// Hands out the whole file in order, in blocks of at most 1 MiB that last for the call only. For one pass over a
  /// file of any size: nothing of it stays in this process. Throws Error{kInputOutput} where reading fails.
  void read_blocks(const std::function<void(std::span<const std::byte>)>& block) const;

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  std::size_t size_ = 0;
};

}  // namespace lexiscope
