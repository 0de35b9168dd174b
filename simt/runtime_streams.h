// Streams and events: a stream remembers the last operation enqueued on it, an event one operation of a stream. The
// default stream is the legacy one: its operations and those of blocking streams wait for each other.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>
#include <vector>

#include "simt/runtime_graphs.h"
#include "simt/runtime_tasks.h"

namespace lexiscope::simt {

/// What a stream records instead of doing it.
struct Capture {
  cudaStreamCaptureMode mode;
  std::thread::id thread;
  std::vector<CapturedOperation> operations{};
  bool invalid = false;  ///< a call that no graph can hold was made meanwhile
};

}  // namespace lexiscope::simt

struct CUstream_st {
  bool blocking = true;
  unsigned flags = 0;
  int priority = 0;
  lexiscope::simt::TaskPointer last;
  std::optional<lexiscope::simt::Capture> capture;
};

struct CUevent_st {
  bool timed = true;
  lexiscope::simt::TaskPointer recorded;
};

namespace lexiscope::simt {

class Streams {
 public:
  explicit Streams(TaskGraph& tasks) : tasks_(tasks) {}

  cudaStream_t create_stream(unsigned flags, int priority);
  void destroy_stream(cudaStream_t handle);
  cudaEvent_t create_event(bool timed);
  void destroy_event(cudaEvent_t handle);

  // Unknown handles are refused with cudaErrorInvalidResourceHandle.
  void check_stream(cudaStream_t handle);
  unsigned flags(cudaStream_t handle);
  TaskPointer enqueue(cudaStream_t handle, std::function<void()> work, TaskKind kind = TaskKind::kDeviceWork);
  void record(cudaEvent_t event, cudaStream_t stream);
  void wait_in_stream(cudaStream_t stream, cudaEvent_t event);
  /// What the host waits for when it waits for the stream.
  std::vector<TaskPointer> tails(cudaStream_t handle);
  CUevent_st event(cudaEvent_t handle);

  void begin_capture(cudaStream_t handle, cudaStreamCaptureMode mode);
  std::vector<CapturedOperation> end_capture(cudaStream_t handle);
  cudaStreamCaptureStatus capture_status(cudaStream_t handle);
  /// For calls that CUDA does not allow while a stream captures: allocations, and whatever waits. Refused with
  /// cudaErrorStreamCaptureUnsupported, and no capture under way makes a graph.
  void refuse_while_capturing();

  std::size_t streams() const;
  std::size_t events() const;
  void clear();

 private:
  CUstream_st& find(cudaStream_t handle);
  CUstream_st& find_free(cudaStream_t handle);
  void require_no_capture_of_blocking_streams();
  CUevent_st& find(cudaEvent_t handle);
  std::vector<TaskPointer> predecessors(const CUstream_st& stream);
  TaskPointer enqueue_after(CUstream_st& stream, std::vector<TaskPointer> after, std::function<void()> work,
                            TaskKind kind);

  TaskGraph& tasks_;
  mutable std::mutex mutex_;
  CUstream_st legacy_;
  std::unordered_map<cudaStream_t, std::unique_ptr<CUstream_st>> streams_;
  std::unordered_map<cudaEvent_t, std::unique_ptr<CUevent_st>> events_;
  std::vector<TaskPointer>
      orphans_;  ///< last operations of blocking streams that were destroyed before those were done
};

}  // namespace lexiscope::simt
