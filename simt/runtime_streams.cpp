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
  return enqueue_after(find(handle), {}, std::move(work), kind);
}

void Streams::record(cudaEvent_t event, cudaStream_t stream) {
  const std::lock_guard lock(mutex_);
  find(event).recorded = enqueue_after(find(stream), {}, nullptr, TaskKind::kHostWork);
}

void Streams::wait_in_stream(cudaStream_t stream, cudaEvent_t event) {
  const std::lock_guard lock(mutex_);
  enqueue_after(find(stream), {find(event).recorded}, nullptr, TaskKind::kHostWork);
}

std::vector<TaskPointer> Streams::tails(cudaStream_t handle) {
  const std::lock_guard lock(mutex_);
  const CUstream_st& stream = find(handle);
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
