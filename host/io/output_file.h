// A file that appears under its name only when it is whole.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

namespace lexiscope {

/// What is written goes to `path` + ".partial"; commit() puts it in place, replacing what was there. Without commit(),
/// or after an error, the partial file is removed. Every error is an Error{kInputOutput} that names the file, the bytes
/// written so far and the reason.
class OutputFile {
 public:
  explicit OutputFile(std::filesystem::path path);
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  ~OutputFile();

  /// Buffered: an error may belong to bytes of an earlier call.
  void append(std::span<const std::byte> bytes);
  /// Writes `bytes` from byte `offset` on, over what was there and beyond it; what lies between is 0. Not buffered;
  /// what is appended goes where it would have gone.
  void write_at(std::size_t offset, std::span<const std::byte> bytes);
  /// Syncs the file, renames it into place and syncs the folder: after this it outlives a crash of the machine.
  void commit();

  const std::filesystem::path& path() const noexcept { return path_; }
  const std::filesystem::path& partial_path() const noexcept { return partial_path_; }

 private:
  void flush();
  void write_through(std::span<const std::byte> bytes);
  [[noreturn]] void fail_writing(int reason);
  void discard() noexcept;

  std::filesystem::path path_, partial_path_;
  int descriptor_ = -1;
  std::size_t written_ = 0;
  std::vector<std::byte> buffer_;
};

/// Replaces `path` by `text` in one step.
void write_file(const std::filesystem::path& path, std::string_view text);

/// Makes renames and removals in `folder` outlive a crash. Throws Error{kInputOutput}.
void sync_folder(const std::filesystem::path& folder);

}  // namespace lexiscope
