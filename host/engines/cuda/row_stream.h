// Rows of a matrix in the host's memory, streamed through the device: it may be larger than the device's.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <memory>

#include "host/engines/cuda/device.h"
#include "host/engines/cuda/memory_pool.h"
#include "host/engines/cuda/stream.h"
#include "lexiscope/control.h"
#include "lexiscope/tensor.h"

namespace lexiscope::cuda {

/// Rows of `columns` f32 that are brought to the device at once.
std::size_t rows_of_chunk(std::size_t rows, std::size_t columns, std::size_t chunk_bytes) noexcept;

/// Copies on a stream of its own, into one of two buffers on the device, while the engine's stream works on the other.
/// Events keep the order between the two streams; the host runs ahead of the device by at most two chunks.
class RowStream {
 public:
  RowStream(std::shared_ptr<Device> device, std::shared_ptr<MemoryPool> pool, std::shared_ptr<Stream> engine_stream);
  RowStream(const RowStream&) = delete;
  RowStream& operator=(const RowStream&) = delete;
  ~RowStream();

  /// work(first, rows) enqueues on the engine's stream what is done with rows [first, first + rows.rows), dense and in
  /// device memory until then. Looks at the stop token and reports between chunks. x may change on return.
  using Work = std::function<void(std::size_t first, MatrixView<const float> rows)>;
  void for_each_chunk(MatrixView<const float> x, std::size_t chunk_rows, const Control* control, const Work& work);

 private:
  struct Buffer {
    std::shared_ptr<void> rows;
    cudaEvent_t copied = nullptr, used = nullptr;
  };

  void destroy() noexcept;
  void make_event(cudaEvent_t& event);
  void begin(std::size_t chunk_bytes);
  void bring(MatrixView<const float> rows, Buffer& buffer);

  std::shared_ptr<Device> device_;
  std::shared_ptr<MemoryPool> pool_;
  std::shared_ptr<Stream> engine_stream_;
  Stream copies_;
  std::array<Buffer, 2> buffers_;
};

}  // namespace lexiscope::cuda
