// What the cpu engine hands to its kernels beside their arguments: threads to use and memory to work in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace lexiscope::cpu {

inline constexpr std::size_t kAlignment = 64;  ///< a cache line, and the widest vector

struct Context {
  int threads = 1;
  bool tiles = false;              ///< the processor has tiles, and they may be used
  std::span<std::byte> workspace;  ///< at least what the kernel's <operation>_workspace() asks for, kAlignment-aligned
};

/// Cuts aligned arrays from a workspace, in order. With a null base it only counts, so that a kernel's
/// <operation>_workspace() and the kernel itself can share one layout function.
class WorkspaceCutter {
 public:
  explicit WorkspaceCutter(std::byte* base) : base_(base) {}

  template <typename Element>
  Element* cut(std::size_t count) {
    const std::size_t at = used_;
    used_ += (count * sizeof(Element) + kAlignment - 1) / kAlignment * kAlignment;
    return base_ ? reinterpret_cast<Element*>(base_ + at) : nullptr;
  }
  std::size_t used() const noexcept { return used_; }

 private:
  std::byte* base_;
  std::size_t used_ = 0;
};

}  // namespace lexiscope::cpu
