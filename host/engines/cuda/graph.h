// A CUDA graph captured from a stream: what one call enqueued, for one launch to enqueue again.
#pragma once

#include <functional>
#include <memory>

#include "host/engines/cuda/device.h"
#include "host/engines/cuda/stream.h"

namespace lexiscope::cuda {

class Graph {
 public:
  /// Captures what `enqueue` puts on the stream, which does not execute it. What `enqueue` throws goes on to the
  /// caller, with the stream as it was before.
  Graph(std::shared_ptr<Device> device, Stream& stream, const std::function<void()>& enqueue);
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  ~Graph();

  void launch(Stream& stream);

 private:
  std::shared_ptr<Device> device_;
  cudaGraphExec_t ready_ = nullptr;
};

}  // namespace lexiscope::cuda
