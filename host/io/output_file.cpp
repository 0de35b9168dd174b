// A file that appears under its name only when it is whole: write aside, sync, rename, sync the folder.
#include "host/io/output_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "host/core/require.h"

namespace lexiscope {
namespace {

constexpr std::size_t kBuffer = std::size_t{1} << 18;  // small appends gather to this; larger ones pass by

}  // namespace

OutputFile::OutputFile(std::filesystem::path path) : path_(std::move(path)), partial_path_(path_) {
  partial_path_ += ".partial";
  // O_NOFOLLOW, O_NONBLOCK: a link is not written through, a FIFO is not waited for.
  descriptor_ = open(partial_path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
  if (descriptor_ < 0)
    fail(ErrorCode::kInputOutput, "{}: cannot be created: {}", partial_path_.string(), std::strerror(errno));
}

OutputFile::~OutputFile() { discard(); }

void OutputFile::discard() noexcept {
  if (descriptor_ < 0) return;
  close(descriptor_);
  descriptor_ = -1;
  unlink(partial_path_.c_str());
}

void OutputFile::fail_writing(int reason) {
  discard();
  fail(ErrorCode::kInputOutput, "{}: writing failed after {} bytes: {}", path_.string(), written_,
       std::strerror(reason));
}

void OutputFile::write_through(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t wrote = write(descriptor_, bytes.data(), bytes.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) fail_writing(errno);
    bytes = bytes.subspan(static_cast<std::size_t>(wrote));
    written_ += static_cast<std::size_t>(wrote);
  }
}

void OutputFile::flush() {
  write_through(buffer_);
  buffer_.clear();
}

void OutputFile::append(std::span<const std::byte> bytes) {
  if (descriptor_ < 0) fail(ErrorCode::kInputOutput, "{}: an earlier write failed", path_.string());
  if (buffer_.size() + bytes.size() > kBuffer) flush();
  if (bytes.size() > kBuffer)
    write_through(bytes);
  else
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
}

void OutputFile::write_at(std::size_t offset, std::span<const std::byte> bytes) {
  append({});
  flush();
  while (!bytes.empty()) {
    const ssize_t wrote = pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) fail_writing(errno);
    bytes = bytes.subspan(static_cast<std::size_t>(wrote));
    offset += static_cast<std::size_t>(wrote);
    written_ = std::max(written_, offset);
  }
}

void OutputFile::commit() {
  append({});
  flush();
  if (fsync(descriptor_) != 0) fail_writing(errno);
  if (std::rename(partial_path_.c_str(), path_.c_str()) != 0) fail_writing(errno);
  close(descriptor_);  // what it could report, fsync has
  descriptor_ = -1;
  sync_folder(path_.parent_path());
}

void write_file(const std::filesystem::path& path, std::string_view text) {
  OutputFile file(path);
  file.append(std::as_bytes(std::span(text)));
  file.commit();
}

void sync_folder(const std::filesystem::path& folder) {
  const int descriptor = open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = descriptor >= 0 && fsync(descriptor) == 0;
  const int reason = errno;
  if (descriptor >= 0) close(descriptor);
  if (!synced)
    fail(ErrorCode::kInputOutput, "{}: the folder cannot be synced: {}", folder.string(), std::strerror(reason));
}

}  // namespace lexiscope
