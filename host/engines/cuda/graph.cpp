#include "host/engines/cuda/graph.h"

namespace lexiscope::cuda {
namespace {

cudaGraph_t capture(Device& device, Stream& stream, const std::function<void()>& enqueue) {
  cudaGraph_t graph = nullptr;
  device.check(cudaStreamBeginCapture(stream.handle(), cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  try {
    enqueue();
  } catch (...) {
    device.ignore(cudaStreamEndCapture(stream.handle(), &graph));
    if (graph) device.ignore(cudaGraphDestroy(graph));
    throw;
  }
  const cudaError_t status = cudaStreamEndCapture(stream.handle(), &graph);
  if (status != cudaSuccess && graph) device.ignore(cudaGraphDestroy(graph));
  device.check(status, "cudaStreamEndCapture");
  return graph;
}

}  // namespace

Graph::Graph(std::shared_ptr<Device> device, Stream& stream, const std::function<void()>& enqueue)
    : device_(std::move(device)) {
  const cudaGraph_t graph = capture(*device_, stream, enqueue);
  const cudaError_t status = cudaGraphInstantiate(&ready_, graph, 0);
  device_->ignore(cudaGraphDestroy(graph));
  device_->check(status, "cudaGraphInstantiate");
}

Graph::~Graph() { device_->ignore(cudaGraphExecDestroy(ready_)); }

void Graph::launch(Stream& stream) { device_->check(cudaGraphLaunch(ready_, stream.handle()), "cudaGraphLaunch"); }

}  // namespace lexiscope::cuda
