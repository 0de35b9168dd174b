// What a block's threads may touch: shared memory, global memory, and what cp.async has under way.
#include <cstring>

#include "simt/block.h"
#include "simt/sanitizers.h"
#include "simt/text.h"

namespace lexiscope::simt {
namespace {

const char* name_of(Access access) {
  return access == Access::kRead ? "read" : access == Access::kWrite ? "write" : "atomic";
}

}  // namespace

std::byte* Block::shared_memory(std::size_t bytes, std::size_t alignment, SourceLine line) {
  if (bytes > launch_->shared_bytes)
    fail(
        FaultKind::kOutOfBounds,
        [&] {
          return "shared_memory asks for " + std::to_string(bytes) + " bytes, but the launch gave the block " +
                 std::to_string(launch_->shared_bytes);
        },
        line);
  if (alignment > kSharedAlignment)
    fail(
        FaultKind::kMisaligned,
        [&] {
          return "shared memory is aligned to " + std::to_string(kSharedAlignment) + " bytes, not to " +
                 std::to_string(alignment);
        },
        line);
  return reinterpret_cast<std::byte*>(shared_begin_);
}

std::string Block::describe_address(std::uintptr_t address) const {
  if (!in_arena(address)) return hexadecimal(address) + ", " + memory_->describe(address);
  const auto offset = static_cast<std::ptrdiff_t>(address - shared_begin_);
  return "byte " + std::to_string(offset) + " of the block's " + std::to_string(launch_->shared_bytes) +
         " bytes of shared memory";
}

template <typename What>
void Block::fail_access(const Finding& finding, Access access, const What& what, SourceLine line,
                        const void* program_counter) {
  switch (finding.verdict) {
    case Verdict::kUninitialized:
      fail(
          FaultKind::kUninitializedShared, [&] { return what() + ", which this block has never written"; }, line,
          program_counter);
    case Verdict::kPending:
      fail(
          FaultKind::kPendingCopy,
          [&] { return what() + ", for which a cp.async is under way that nobody has waited for"; }, line,
          program_counter);
    default:
      fail(
          FaultKind::kRace,
          [&] {
            return "race: " + what() + " and " + (finding.other_wrote ? "a write" : "a read") + " by thread " +
                   text_of(position_of(finding.other.thread(), launch_->block)) + " have no barrier between them" +
                   (access == Access::kAtomic || finding.other.atomic() ? " (only one is atomic)" : "");
          },
          line, program_counter);
  }
}

void Block::check_shared(std::uintptr_t address, std::size_t bytes, Access access, SourceLine line,
                         const void* program_counter) {
  const std::uintptr_t offset = address - shared_begin_;
  const auto what = [&] {
    return std::string(name_of(access)) + " of " + std::to_string(bytes) + " bytes at " + describe_address(address);
  };
  if (offset > launch_->shared_bytes || bytes > launch_->shared_bytes - offset)
    fail(FaultKind::kOutOfBounds, what, line, program_counter);
  if (!kAccessesReported) return;
  const Finding finding = shared_shadow_.access(offset, bytes, access, running_->number, clocks_);
  if (finding.verdict != Verdict::kFine) fail_access(finding, access, what, line, program_counter);
}

void Block::check_global(std::uintptr_t address, std::size_t bytes, Access access, SourceLine line,
                         const void* program_counter) {
  const auto what = [&] {
    return std::string(name_of(access)) + " of " + std::to_string(bytes) + " bytes at " + describe_address(address);
  };
  if (last_allocation_ == nullptr || !last_allocation_->holds(address, bytes)) {
    const GlobalMemory::Range* found = memory_->allocation(address, bytes);
    if (found == nullptr) {
      if (access == Access::kRead && in_program_constants(address, bytes)) return;
      fail(FaultKind::kOutOfBounds, what, line, program_counter);
    }
    last_allocation_ = found;
  }
  if (!kAccessesReported) return;
  const Finding finding = global_shadow_.access(address, bytes, access, running_->number, clocks_);
  if (finding.verdict != Verdict::kFine) fail_access(finding, access, what, line, program_counter);
}

void Block::check_raw_access(std::uintptr_t address, std::size_t bytes, Access access, const void* program_counter) {
  if (address - reinterpret_cast<std::uintptr_t>(running_->fiber.stack) < FiberStacks::kStackBytes) return;
  if (in_arena(address))
    check_shared(address, bytes, access, {}, program_counter);
  else
    check_global(address, bytes, access, {}, program_counter);
}

void Block::fail_misaligned(std::uintptr_t address, std::size_t alignment, const char* file, int line) {
  fail(
      FaultKind::kMisaligned,
      [&] { return "an access at " + describe_address(address) + " needs a multiple of " + std::to_string(alignment); },
      {file, line});
}

void Block::check_access(const void* pointer, std::size_t bytes, Access access, std::size_t alignment,
                         const char* operation, SourceLine line) {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  running_->site = {operation, line};
  if (address % alignment != 0)
    fail(
        FaultKind::kMisaligned,
        [&] {
          return std::string(operation) + " of " + std::to_string(bytes) + " bytes at " + describe_address(address) +
                 " needs a multiple of " + std::to_string(alignment);
        },
        line);
  if (in_arena(address))
    check_shared(address, bytes, access, line, nullptr);
  else
    check_global(address, bytes, access, line, nullptr);
  sanitizer_access(pointer, bytes, access);
}

void Block::check_shared_access(const void* pointer, std::size_t bytes, Access access, std::size_t alignment,
                                const char* operation, SourceLine line) {
  if (!in_arena(reinterpret_cast<std::uintptr_t>(pointer)))
    fail(
        FaultKind::kOutOfBounds,
        [&] {
          return std::string(operation) + " at " + describe_address(reinterpret_cast<std::uintptr_t>(pointer)) +
                 ", which is not shared memory";
        },
        line);
  check_access(pointer, bytes, access, alignment, operation, line);
}

// ---- cp.async ----

constexpr std::size_t kCopyBytes = 16;

void Block::issue_copy(std::byte* destination, const std::byte* source, SourceLine line) {
  constexpr const char* kName = "cp.async";
  check_shared_access(destination, kCopyBytes, Access::kWrite, kCopyBytes, kName, line);
  if (source != nullptr) check_access(source, kCopyBytes, Access::kRead, kCopyBytes, kName, line);
  std::memset(destination, kPoison, kCopyBytes);
  shared_shadow_.set_pending(reinterpret_cast<std::uintptr_t>(destination) - shared_begin_, kCopyBytes, true);
  running_->copies.push_back({destination, source, running_->copy_group});
}

void Block::commit_copies() { ++running_->copy_group; }

void Block::wait_for_copies(unsigned groups_left, SourceLine line) {
  Thread& me = *running_;
  me.site = {"cp.async.wait_group", line};
  std::size_t kept = 0;
  for (const PendingCopy copy : me.copies) {
    if (copy.group + groups_left >= me.copy_group) {
      me.copies[kept++] = copy;
      continue;
    }
    shared_shadow_.set_pending(reinterpret_cast<std::uintptr_t>(copy.destination) - shared_begin_, kCopyBytes, false);
    check_shared(reinterpret_cast<std::uintptr_t>(copy.destination), kCopyBytes, Access::kWrite, line, nullptr);
    sanitizer_access(copy.destination, kCopyBytes, Access::kWrite);
    if (copy.source != nullptr)
      std::memcpy(copy.destination, copy.source, kCopyBytes);
    else
      std::memset(copy.destination, 0, kCopyBytes);
  }
  me.copies.resize(kept);
}

}  // namespace lexiscope::simt
