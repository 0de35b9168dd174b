#include "simt/runtime_streams.h"

#include <utility>

#include "simt/runtime_call.h"

namespace lexiscope::simt {

cudaStream_t Streams::create_stream(unsigned flags, int priority) {
  const std::lock_guard lock(mutex_);
  auto stream = std::make_unique<CUstream_st>();
  stream->blocking = (flags & cudaStreamNonBlocking) == 0;
  stream->flags = flags;
  stream->priority = priority;
  const cudaStream_t handle = stream.get();
  streams_.emplace(handle, std::move(stream));
  return handle;
}

// What is enqueued still executes, as CUDA promises.
void Streams::destroy_stream(cudaStream_t handle) {
  const std::lock_guard lock(mutex_);
  const auto stream = streams_.find(handle);
  require(stream != streams_.end(), cudaErrorInvalidResourceHandle);
  require(!stream->second->capture, cudaErrorStreamCaptureUnsupported);
  tasks_.want(stream->second->last);
  std::erase_if(orphans_, [&](const TaskPointer& task) { return tasks_.done(task); });
  if (stream->second->blocking) orphans_.push_back(stream->second->last);
  streams_.erase(stream);
}

cudaEvent_t Streams::create_event(bool timed) {
  const std::lock_guard lock(mutex_);
  auto event = std::make_unique<CUevent_st>();
  event->timed = timed;
  const cudaEvent_t handle = event.get();
  events_.emplace(handle, std::move(event));
  return handle;
}

void Streams::destroy_event(cudaEvent_t handle) {
  const std::lock_guard lock(mutex_);
  require(events_.erase(handle) == 1, cudaErrorInvalidResourceHandle);
}

CUstream_st& Streams::find(cudaStream_t handle) {
  if (handle == nullptr || handle == cudaStreamLegacy) return legacy_;
  const auto stream = streams_.find(handle);
  require(stream != streams_.end(), cudaErrorInvalidResourceHandle);
  return *stream->second;
}

CUevent_st& Streams::find(cudaEvent_t handle) {
  const auto event = events_.find(handle);
  require(event != events_.end(), cudaErrorInvalidResourceHandle);
  return *event->second;
}

void Streams::check_stream(cudaStream_t handle) {
  const std::lock_guard lock(mutex_);
  find(handle);
}

unsigned Streams::flags(cudaStream_t handle) {
  const std::lock_guard lock(mutex_);
  return find(handle).flags;
}

std::vector<TaskPointer> Streams::predecessors(const CUstream_st& stream) {
  std::vector<TaskPointer> tasks{stream.last};
  if (&stream == &legacy_) {
    for (const auto& [handle, other] : streams_)
      if (other->blocking) tasks.push_back(other->last);
    tasks.insert(tasks.end(), orphans_.begin(), orphans_.end());
  } else if (stream.blocking) {
    tasks.push_back(legacy_.last);
  }
  return tasks;
}

TaskPointer Streams::enqueue_after(CUstream_st& stream, std::vector<TaskPointer> after, std::function<void()> work,
                                   TaskKind kind) {
  const auto predecessors_of_stream = predecessors(stream);
  after.insert(after.end(), predecessors_of_stream.begin(), predecessors_of_stream.end());
  stream.last = tasks_.enqueue(after, std::move(work), kind);
  return stream.last;
}

TaskPointer Streams::enqueue(cudaStream_t handle, std::function<void()> work, TaskKind kind) {
  const std::lock_guard lock(mutex_);
  CUstream_st& stream = find(handle);
  if (&stream == &legacy_) require_no_capture_of_blocking_streams();
  if (!stream.capture) return enqueue_after(stream, {}, std::move(work), kind);
  require(!stream.capture->invalid, cudaErrorStreamCaptureInvalidated);
  stream.capture->operations.push_back({std::move(work), kind});
  return nullptr;
}

// The stream's own operations would not have happened when the caller's next line runs, nor would they ever.
CUstream_st& Streams::find_free(cudaStream_t handle) {
  CUstream_st& stream = find(handle);
  if (!stream.capture) return stream;
  stream.capture->invalid = true;
  throw Refusal{cudaErrorStreamCaptureUnsupported};
}

void Streams::require_no_capture_of_blocking_streams() {
  for (const auto& [handle, stream] : streams_) {
    if (!stream->capture || !stream->blocking) continue;
    stream->capture->invalid = true;
    throw Refusal{cudaErrorStreamCaptureImplicit};
  }
}

void Streams::begin_capture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  const std::lock_guard lock(mutex_);
  CUstream_st& stream = find(handle);
  require(&stream != &legacy_, cudaErrorStreamCaptureUnsupported);
  require(!stream.capture, cudaErrorIllegalState);
  stream.capture = Capture{.mode = mode, .thread = std::this_thread::get_id()};
}

std::vector<CapturedOperation> Streams::end_capture(cudaStream_t handle) {
  const std::lock_guard lock(mutex_);
  CUstream_st& stream = find(handle);
  require(stream.capture.has_value(), cudaErrorIllegalState);
  require(stream.capture->mode == cudaStreamCaptureModeRelaxed || stream.capture->thread == std::this_thread::get_id(),
          cudaErrorStreamCaptureWrongThread);
  const Capture capture = std::move(*stream.capture);
  stream.capture.reset();
  require(!capture.invalid, cudaErrorStreamCaptureInvalidated);
  return capture.operations;
}

cudaStreamCaptureStatus Streams::capture_status(cudaStream_t handle) {
  const std::lock_guard lock(mutex_);
  const auto& capture = find(handle).capture;
  if (!capture) return cudaStreamCaptureStatusNone;
  return capture->invalid ? cudaStreamCaptureStatusInvalidated : cudaStreamCaptureStatusActive;
}

void Streams::refuse_while_capturing() {
  const std::lock_guard lock(mutex_);
  bool refused = false;
  for (const auto& [handle, stream] : streams_) {
    auto& capture = stream->capture;
    if (!capture || capture->mode == cudaStreamCaptureModeRelaxed) continue;
    if (capture->mode == cudaStreamCaptureModeThreadLocal && capture->thread != std::this_thread::get_id()) continue;
    refused = capture->invalid = true;
  }
  require(!refused, cudaErrorStreamCaptureUnsupported);
}

void Streams::record(cudaEvent_t event, cudaStream_t stream) {
  const std::lock_guard lock(mutex_);
  find(event).recorded = enqueue_after(find_free(stream), {}, nullptr, TaskKind::kHostWork);
}

void Streams::wait_in_stream(cudaStream_t stream, cudaEvent_t event) {
  const std::lock_guard lock(mutex_);
  enqueue_after(find_free(stream), {find(event).recorded}, nullptr, TaskKind::kHostWork);
}

std::vector<TaskPointer> Streams::tails(cudaStream_t handle) {
  const std::lock_guard lock(mutex_);
  const CUstream_st& stream = find_free(handle);
  return &stream == &legacy_ ? predecessors(stream) : std::vector{stream.last};
}

CUevent_st Streams::event(cudaEvent_t handle) {
  const std::lock_guard lock(mutex_);
  return find(handle);
}

std::size_t Streams::streams() const {
  const std::lock_guard lock(mutex_);
  return streams_.size();
}

std::size_t Streams::events() const {
  const std::lock_guard lock(mutex_);
  return events_.size();
}

void Streams::clear() {
  const std::lock_guard lock(mutex_);
  streams_.clear();
  events_.clear();
  orphans_.clear();
  legacy_.last = nullptr;
}

}  // namespace lexiscope::simt
