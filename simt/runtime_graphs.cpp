// Graphs, and the entry points that capture and launch them.
#include "simt/runtime_graphs.h"

#include <utility>

#include "simt/runtime_call.h"

namespace lexiscope::simt {

cudaGraph_t Graphs::add(std::vector<CapturedOperation> operations) {
  const std::lock_guard lock(mutex_);
  auto graph = std::make_unique<CUgraph_st>(CUgraph_st{std::move(operations)});
  const cudaGraph_t handle = graph.get();
  graphs_.emplace(handle, std::move(graph));
  return handle;
}

cudaGraphExec_t Graphs::instantiate(cudaGraph_t graph) {
  const std::lock_guard lock(mutex_);
  const auto found = graphs_.find(graph);
  require(found != graphs_.end(), cudaErrorInvalidValue);
  auto ready = std::make_unique<CUgraphExec_st>(CUgraphExec_st{found->second->operations});
  const cudaGraphExec_t handle = ready.get();
  ready_.emplace(handle, std::move(ready));
  return handle;
}

std::vector<CapturedOperation> Graphs::operations(cudaGraphExec_t graph) const {
  const std::lock_guard lock(mutex_);
  const auto found = ready_.find(graph);
  require(found != ready_.end(), cudaErrorInvalidValue);
  return found->second->operations;
}

void Graphs::destroy(cudaGraph_t graph) {
  const std::lock_guard lock(mutex_);
  require(graphs_.erase(graph) == 1, cudaErrorInvalidValue);
}

void Graphs::destroy(cudaGraphExec_t graph) {
  const std::lock_guard lock(mutex_);
  require(ready_.erase(graph) == 1, cudaErrorInvalidValue);
}

std::size_t Graphs::count() const {
  const std::lock_guard lock(mutex_);
  return graphs_.size() + ready_.size();
}

void Graphs::clear() {
  const std::lock_guard lock(mutex_);
  graphs_.clear();
  ready_.clear();
}

}  // namespace lexiscope::simt

using namespace lexiscope::simt;

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  return call("cudaStreamBeginCapture", [&] {
    require(mode == cudaStreamCaptureModeGlobal || mode == cudaStreamCaptureModeThreadLocal ||
                mode == cudaStreamCaptureModeRelaxed,
            cudaErrorInvalidValue);
    runtime().streams.begin_capture(stream, mode);
    return cudaSuccess;
  });
}

// Ends the capture whatever is wrong: a stream that goes on capturing would be of no use to anybody.
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  return release_call("cudaStreamEndCapture", [&] {
    require(graph != nullptr, cudaErrorInvalidValue);
    *graph = nullptr;
    *graph = runtime().graphs.add(runtime().streams.end_capture(stream));
    return cudaSuccess;
  });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  return call("cudaStreamIsCapturing", [&] {
    require(status != nullptr, cudaErrorInvalidValue);
    *status = runtime().streams.capture_status(stream);
    return cudaSuccess;
  });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* ready, cudaGraph_t graph, unsigned long long flags) {
  return call("cudaGraphInstantiate", [&] {
    require(ready != nullptr && flags == 0, cudaErrorInvalidValue);
    *ready = runtime().graphs.instantiate(graph);
    return cudaSuccess;
  });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
  return call("cudaGraphLaunch", [&] {
    for (auto& operation : runtime().graphs.operations(graph))
      runtime().streams.enqueue(stream, std::move(operation.work), operation.kind);
    return cudaSuccess;
  });
}

// What was launched still executes: its operations are copies.
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
  return release_call("cudaGraphExecDestroy", [&] {
    runtime().graphs.destroy(graph);
    return cudaSuccess;
  });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return release_call("cudaGraphDestroy", [&] {
    runtime().graphs.destroy(graph);
    return cudaSuccess;
  });
}
