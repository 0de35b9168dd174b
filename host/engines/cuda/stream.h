// The engine's one stream, and the copies between the host's memory and the device's that go through it.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>

#include "host/engines/cuda/device.h"

namespace lexiscope::cuda {

/// Copies take the way over two buffers of pinned memory: the device reads and writes pageable memory only through such
/// buffers of the driver's, and waits meanwhile. With two, one is filled or emptied while the device is at the other.
class Stream {
 public:
  static constexpr std::size_t kBufferBytes = std::size_t{4} << 20;

  explicit Stream(std::shared_ptr<Device> device);
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream();

  cudaStream_t handle() const noexcept { return handle_; }

  /// Enqueues the copy and returns; `from` may change at once.
  void copy_to_device(void* to, std::span<const std::byte> from);

  /// The same for bytes that are made on the way: fill(first, piece) writes bytes [first, first + piece.size()) of all
  /// `bytes`. Pieces but the last are multiples of 64 bytes.
  using Fill = std::function<void(std::size_t first, std::span<std::byte> piece)>;
  void copy_to_device(void* to, std::size_t bytes, const Fill& fill);

  /// Waits for everything enqueued before; the bytes are there on return.
  void copy_to_host(std::span<std::byte> to, const void* from);

  void fill_with_zeros(void* to, std::size_t bytes);

  /// Waits for everything enqueued before.
  void synchronize();

 private:
  struct Buffer {
    std::byte* data = nullptr;
    cudaEvent_t done = nullptr;  // recorded behind the last copy that uses the buffer
    std::size_t used = 0;        // bytes that copies enqueued before `done` still read
  };

  void make();
  void destroy() noexcept;
  Buffer& buffer_with_room();
  void record(Buffer& buffer);
  void wait(Buffer& buffer);

  std::shared_ptr<Device> device_;
  cudaStream_t handle_ = nullptr;
  std::array<Buffer, 2> buffers_;
  std::size_t current_ = 0;
};

}  // namespace lexiscope::cuda
