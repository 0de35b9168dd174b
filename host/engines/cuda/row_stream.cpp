#include "host/engines/cuda/row_stream.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "host/core/control.h"

namespace lexiscope::cuda {
namespace {

/// Bytes [first, first + piece.size()) of the rows as they are when nothing lies between them.
void copy_dense(MatrixView<const float> rows, std::size_t first, std::span<std::byte> piece) {
  const std::size_t width = rows.columns * sizeof(float);
  std::size_t row = first / width, at = first % width;
  for (std::size_t done = 0; done < piece.size(); ++row, at = 0) {
    const std::size_t size = std::min(width - at, piece.size() - done);
    std::memcpy(piece.data() + done, reinterpret_cast<const std::byte*>(rows.row(row)) + at, size);
    done += size;
  }
}

}  // namespace

std::size_t rows_of_chunk(std::size_t rows, std::size_t columns, std::size_t chunk_bytes) noexcept {
  const std::size_t fitting = chunk_bytes / sizeof(float) / std::max<std::size_t>(columns, 1);
  return std::clamp<std::size_t>(rows, 1, std::max<std::size_t>(fitting, 1));
}

RowStream::RowStream(std::shared_ptr<Device> device, std::shared_ptr<MemoryPool> pool,
                     std::shared_ptr<Stream> engine_stream)
    : device_(std::move(device)), pool_(std::move(pool)), engine_stream_(std::move(engine_stream)), copies_(device_) {
  try {
    for (Buffer& buffer : buffers_) {
      make_event(buffer.copied);
      make_event(buffer.used);
    }
  } catch (...) {
    destroy();
    throw;
  }
}

RowStream::~RowStream() { destroy(); }

void RowStream::destroy() noexcept {
  for (const Buffer& buffer : buffers_)
    for (const cudaEvent_t event : {buffer.copied, buffer.used})
      if (event) device_->ignore(cudaEventDestroy(event));
}

void RowStream::make_event(cudaEvent_t& event) {
  device_->check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
}

void RowStream::for_each_chunk(MatrixView<const float> x, std::size_t chunk_rows, const Control* control,
                               const Work& work) {
  chunk_rows = std::clamp<std::size_t>(x.rows, 1, chunk_rows);
  try {
    begin(chunk_rows * x.columns * sizeof(float));
    std::size_t chunk = 0;
    lexiscope::for_each_chunk(x.rows, chunk_rows, control, [&](std::size_t first, std::size_t last) {
      Buffer& buffer = buffers_[chunk++ % buffers_.size()];
      bring(x.rows_from(first, last - first), buffer);
      work(first, {static_cast<const float*>(buffer.rows.get()), last - first, x.columns, x.columns});
      device_->check(cudaEventRecord(buffer.used, engine_stream_->handle()), "cudaEventRecord");
    });
  } catch (...) {
    // A copy that the engine's stream does not wait for may still write into memory that is about to be given back.
    device_->ignore(cudaStreamSynchronize(copies_.handle()));
    for (Buffer& buffer : buffers_) buffer.rows.reset();
    throw;
  }
  for (Buffer& buffer : buffers_) buffer.rows.reset();
}

// The pool hands out memory that the engine's stream may still be at work on: copies begin behind that.
void RowStream::begin(std::size_t chunk_bytes) {
  for (Buffer& buffer : buffers_) {
    buffer.rows = pool_->allocate(chunk_bytes);
    device_->check(cudaEventRecord(buffer.used, engine_stream_->handle()), "cudaEventRecord");
  }
}

void RowStream::bring(MatrixView<const float> rows, Buffer& buffer) {
  device_->check(cudaStreamWaitEvent(copies_.handle(), buffer.used, 0), "cudaStreamWaitEvent");
  copies_.copy_to_device(buffer.rows.get(), rows.rows * rows.columns * sizeof(float),
                         [&](std::size_t first, std::span<std::byte> piece) { copy_dense(rows, first, piece); });
  device_->check(cudaEventRecord(buffer.copied, copies_.handle()), "cudaEventRecord");
  device_->check(cudaStreamWaitEvent(engine_stream_->handle(), buffer.copied, 0), "cudaStreamWaitEvent");
}

}  // namespace lexiscope::cuda
