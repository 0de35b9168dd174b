// Entry points that copy and fill memory. Each checks its ranges when it is called, as CUDA does, and again when it
// executes: memory freed in between is a fault.
#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "simt/runtime_call.h"

using namespace lexiscope::simt;

namespace {

enum class Place { kDevice, kPinned, kPageable };

// Rows of `width` bytes; one row where the copy is not of two dimensions.
struct Rows {
  std::byte* data;
  std::size_t pitch;
  std::size_t width;
  std::size_t height;

  std::size_t span() const { return pitch * (height - 1) + width; }
  std::byte* row(std::size_t index) const { return data + index * pitch; }
};

Place place_of(const Rows& rows) {
  require(rows.data != nullptr, cudaErrorInvalidValue);
  if (runtime().memory.contains(rows.data)) {
    require(runtime().memory.covers(rows.data, rows.span()), cudaErrorInvalidValue);
    return Place::kDevice;
  }
  if (!runtime().pinned.contains(rows.data)) return Place::kPageable;
  require(runtime().pinned.covers(rows.data, rows.span()), cudaErrorInvalidValue);
  return Place::kPinned;
}

void check_kind(cudaMemcpyKind kind, Place to, Place from) {
  const bool to_device = to == Place::kDevice;
  const bool from_device = from == Place::kDevice;
  switch (kind) {
    case cudaMemcpyHostToHost:
      return require(!to_device && !from_device, cudaErrorInvalidValue);
    case cudaMemcpyHostToDevice:
      return require(to_device && !from_device, cudaErrorInvalidValue);
    case cudaMemcpyDeviceToHost:
      return require(!to_device && from_device, cudaErrorInvalidValue);
    case cudaMemcpyDeviceToDevice:
      return require(to_device && from_device, cudaErrorInvalidValue);
    case cudaMemcpyDefault:
      return;
  }
  require(false, cudaErrorInvalidMemcpyDirection);
}

void require_live(const Rows& rows, const char* function) {
  if (runtime().memory.contains(rows.data) && !runtime().memory.live(rows.data, rows.span()))
    throw DeviceFault(cudaErrorIllegalAddress,
                      std::string(function) + ": device memory that is not allocated " + "when the operation executes");
}

void copy_rows(const Rows& to, const Rows& from) {
  for (std::size_t row = 0; row < to.height; ++row) std::memmove(to.row(row), from.row(row), to.width);
}

TaskPointer enqueue_copy(const char* function, const Rows& to, const Rows& from, cudaStream_t stream) {
  return runtime().streams.enqueue(stream, [function, to, from] {
    require_live(to, function);
    require_live(from, function);
    copy_rows(to, from);
  });
}

// The caller's pageable memory is its own again when the call returns.
void enqueue_copy_of_snapshot(const char* function, const Rows& to, const Rows& from, cudaStream_t stream) {
  const auto bytes = std::make_shared<std::vector<std::byte>>(from.width * from.height);
  const Rows snapshot{bytes->data(), from.width, from.width, from.height};
  copy_rows(snapshot, from);
  runtime().streams.enqueue(stream, [function, to, snapshot, bytes] {
    require_live(to, function);
    copy_rows(to, snapshot);
  });
}

// cudaMemcpyAsync and its like: CUDA's "API synchronization behavior" says which copies the host waits for.
cudaError_t copy_async(const char* function, const Rows& to, const Rows& from, cudaMemcpyKind kind,
                       cudaStream_t stream) {
  runtime().streams.check_stream(stream);
  if (to.width == 0 || to.height == 0) return cudaSuccess;
  require(to.pitch >= to.width && from.pitch >= from.width, cudaErrorInvalidPitchValue);
  const Place to_place = place_of(to);
  const Place from_place = place_of(from);
  check_kind(kind, to_place, from_place);
  if (to_place == Place::kPageable) {
    runtime().streams.tails(stream);  // refused while the stream captures: there is nothing to wait for
    return runtime().wait(enqueue_copy(function, to, from, stream));
  }
  if (from_place == Place::kPageable) {
    enqueue_copy_of_snapshot(function, to, from, stream);
    return cudaSuccess;
  }
  enqueue_copy(function, to, from, stream);
  return cudaSuccess;
}

// cudaMemcpy and its like: the host waits, except for copies within the device.
cudaError_t copy(const char* function, const Rows& to, const Rows& from, cudaMemcpyKind kind) {
  if (to.width == 0 || to.height == 0) return cudaSuccess;
  require(to.pitch >= to.width && from.pitch >= from.width, cudaErrorInvalidPitchValue);
  const Place to_place = place_of(to);
  const Place from_place = place_of(from);
  check_kind(kind, to_place, from_place);
  runtime().streams.refuse_while_capturing();
  const auto task = enqueue_copy(function, to, from, nullptr);
  const bool within_device = to_place == Place::kDevice && from_place == Place::kDevice;
  return within_device ? cudaSuccess : runtime().wait(task);
}

Rows bytes_at(const void* pointer, std::size_t bytes) {
  return {static_cast<std::byte*>(const_cast<void*>(pointer)), bytes, bytes, 1};
}

Rows rows_at(const void* pointer, std::size_t pitch, std::size_t width, std::size_t height) {
  return {static_cast<std::byte*>(const_cast<void*>(pointer)), pitch, width, height};
}

cudaError_t fill(const char* function, void* pointer, int value, std::size_t bytes, cudaStream_t stream) {
  runtime().streams.check_stream(stream);
  if (bytes == 0) return cudaSuccess;
  const Rows rows = bytes_at(pointer, bytes);
  require(place_of(rows) != Place::kPageable, cudaErrorInvalidValue);
  runtime().streams.enqueue(stream, [function, rows, value] {
    require_live(rows, function);
    std::memset(rows.data, value, rows.width);
  });
  return cudaSuccess;
}

}  // namespace

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  return call("cudaMemcpy", [&] { return copy("cudaMemcpy", bytes_at(to, bytes), bytes_at(from, bytes), kind); });
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return call("cudaMemcpyAsync",
              [&] { return copy_async("cudaMemcpyAsync", bytes_at(to, bytes), bytes_at(from, bytes), kind, stream); });
}

cudaError_t cudaMemcpy2D(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch, std::size_t width,
                         std::size_t height, cudaMemcpyKind kind) {
  return call("cudaMemcpy2D", [&] {
    return copy("cudaMemcpy2D", rows_at(to, to_pitch, width, height), rows_at(from, from_pitch, width, height), kind);
  });
}

cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                              std::size_t width, std::size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
  return call("cudaMemcpy2DAsync", [&] {
    return copy_async("cudaMemcpy2DAsync", rows_at(to, to_pitch, width, height),
                      rows_at(from, from_pitch, width, height), kind, stream);
  });
}

// The host does not wait, whatever the name says.
cudaError_t cudaMemset(void* pointer, int value, std::size_t bytes) {
  return call("cudaMemset", [&] { return fill("cudaMemset", pointer, value, bytes, nullptr); });
}

cudaError_t cudaMemsetAsync(void* pointer, int value, std::size_t bytes, cudaStream_t stream) {
  return call("cudaMemsetAsync", [&] { return fill("cudaMemsetAsync", pointer, value, bytes, stream); });
}
