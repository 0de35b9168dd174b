// CUDA graphs as far as a stream's capture makes them: a list of operations in the order of the stream, enqueued again
// by each launch.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "simt/runtime_tasks.h"

namespace lexiscope::simt {

struct CapturedOperation {
  std::function<void()> work;
  TaskKind kind;
};

}  // namespace lexiscope::simt

struct CUgraph_st {
  std::vector<lexiscope::simt::CapturedOperation> operations;
};
struct CUgraphExec_st {
  std::vector<lexiscope::simt::CapturedOperation> operations;
};

namespace lexiscope::simt {

/// The live graphs, captured ones and those ready to launch. Unknown handles are refused with cudaErrorInvalidValue.
class Graphs {
 public:
  cudaGraph_t add(std::vector<CapturedOperation> operations);
  cudaGraphExec_t instantiate(cudaGraph_t graph);
  std::vector<CapturedOperation> operations(cudaGraphExec_t graph) const;
  void destroy(cudaGraph_t graph);
  void destroy(cudaGraphExec_t graph);
  std::size_t count() const;
  void clear();

 private:
  mutable std::mutex mutex_;
  std::unordered_map<cudaGraph_t, std::unique_ptr<CUgraph_st>> graphs_;
  std::unordered_map<cudaGraphExec_t, std::unique_ptr<CUgraphExec_st>> ready_;
};

}  // namespace lexiscope::simt
