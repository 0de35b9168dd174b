// Cuts a kernel's workspace into arrays, so that what counts the bytes and what uses them is one function.
#pragma once

#include <cstddef>

namespace lexiscope::cuda {

/// Arrays in order, each aligned to 256 bytes, as device memory is. With a null base it only counts.
class WorkspaceCutter {
 public:
  static constexpr std::size_t kAlignment = 256;

  explicit WorkspaceCutter(void* base) : base_(static_cast<std::byte*>(base)) {}

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

}  // namespace lexiscope::cuda
