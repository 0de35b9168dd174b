#include "host/engines/cuda/stream.h"

#include <algorithm>
#include <cstring>

namespace lexiscope::cuda {
namespace {

constexpr std::size_t kPieceAlignment = 64;

}  // namespace

Stream::Stream(std::shared_ptr<Device> device) : device_(std::move(device)) {
  try {
    make();
  } catch (...) {
    destroy();
    throw;
  }
}

Stream::~Stream() {
  device_->ignore(cudaStreamSynchronize(handle_));
  destroy();
}

void Stream::make() {
  device_->check(cudaStreamCreateWithFlags(&handle_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  for (Buffer& buffer : buffers_) {
    void* memory = nullptr;
    device_->check(cudaMallocHost(&memory, kBufferBytes), "cudaMallocHost");
    buffer.data = static_cast<std::byte*>(memory);
    device_->check(cudaEventCreateWithFlags(&buffer.done, cudaEventDisableTiming), "cudaEventCreateWithFlags");
  }
}

void Stream::destroy() noexcept {
  for (Buffer& buffer : buffers_) {
    if (buffer.done) device_->ignore(cudaEventDestroy(buffer.done));
    if (buffer.data) device_->ignore(cudaFreeHost(buffer.data));
  }
  if (handle_) device_->ignore(cudaStreamDestroy(handle_));
}

void Stream::copy_to_device(void* to, std::span<const std::byte> from) {
  copy_to_device(to, from.size(), [from](std::size_t first, std::span<std::byte> piece) {
    std::memcpy(piece.data(), from.data() + first, piece.size());
  });
}

// Small copies lie one behind the other in a buffer, so that a run of them waits for nothing.
void Stream::copy_to_device(void* to, std::size_t bytes, const Fill& fill) {
  for (std::size_t first = 0; first < bytes;) {
    Buffer& buffer = buffer_with_room();
    const std::size_t size = std::min(bytes - first, kBufferBytes - buffer.used);
    const std::span<std::byte> piece(buffer.data + buffer.used, size);
    fill(first, piece);
    device_->check(
        cudaMemcpyAsync(static_cast<std::byte*>(to) + first, piece.data(), size, cudaMemcpyHostToDevice, handle_),
        "cudaMemcpyAsync");
    buffer.used += (size + kPieceAlignment - 1) / kPieceAlignment * kPieceAlignment;
    first += size;
  }
}

// While piece n is copied out of its buffer, the device fills the other with piece n + 1.
void Stream::copy_to_host(std::span<std::byte> to, const void* from) {
  const auto copy_out = [&](std::size_t piece) {
    wait(buffers_[piece % 2]);
    const std::size_t first = piece * kBufferBytes;
    std::memcpy(to.data() + first, buffers_[piece % 2].data, std::min(kBufferBytes, to.size() - first));
  };
  const std::size_t pieces = (to.size() + kBufferBytes - 1) / kBufferBytes;
  for (std::size_t piece = 0; piece < pieces; ++piece) {
    Buffer& buffer = buffers_[piece % 2];
    const std::size_t first = piece * kBufferBytes, size = std::min(kBufferBytes, to.size() - first);
    device_->check(cudaMemcpyAsync(buffer.data, static_cast<const std::byte*>(from) + first, size,
                                   cudaMemcpyDeviceToHost, handle_),
                   "cudaMemcpyAsync");
    record(buffer);
    if (piece > 0) copy_out(piece - 1);
  }
  if (pieces > 0) copy_out(pieces - 1);
  for (Buffer& buffer : buffers_) buffer.used = 0;  // the stream keeps the order: all copies before are done too
}

void Stream::fill_with_zeros(void* to, std::size_t bytes) {
  if (bytes > 0) device_->check(cudaMemsetAsync(to, 0, bytes, handle_), "cudaMemsetAsync");
}

void Stream::synchronize() {
  device_->enter();
  device_->check(cudaStreamSynchronize(handle_), "cudaStreamSynchronize");
}

Stream::Buffer& Stream::buffer_with_room() {
  Buffer& buffer = buffers_[current_];
  if (buffer.used < kBufferBytes) return buffer;
  record(buffer);
  current_ = 1 - current_;
  Buffer& next = buffers_[current_];
  if (next.used > 0) wait(next);
  next.used = 0;
  return next;
}

void Stream::record(Buffer& buffer) { device_->check(cudaEventRecord(buffer.done, handle_), "cudaEventRecord"); }

void Stream::wait(Buffer& buffer) { device_->check(cudaEventSynchronize(buffer.done), "cudaEventSynchronize"); }

}  // namespace lexiscope::cuda
