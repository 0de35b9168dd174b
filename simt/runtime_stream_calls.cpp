// Entry points of streams and events.
#include <cuda_runtime_api.h>

#include <chrono>

#include "simt/runtime_call.h"

using namespace lexiscope::simt;

namespace {

cudaError_t create_stream(cudaStream_t* stream, unsigned flags, int priority) {
  require(stream != nullptr, cudaErrorInvalidValue);
  require(flags == cudaStreamDefault || flags == cudaStreamNonBlocking, cudaErrorInvalidValue);
  *stream = runtime().streams.create_stream(flags, priority);
  return cudaSuccess;
}

cudaError_t create_event(cudaEvent_t* event, unsigned flags) {
  require(event != nullptr, cudaErrorInvalidValue);
  require((flags & ~(cudaEventBlockingSync | cudaEventDisableTiming)) == 0, cudaErrorInvalidValue);
  *event = runtime().streams.create_event((flags & cudaEventDisableTiming) == 0);
  return cudaSuccess;
}

// Who asks wants it done: polling makes progress in a lazy schedule too.
bool ask(const TaskPointer& task) {
  if (runtime().tasks.done(task)) return true;
  runtime().tasks.want(task);
  return false;
}

}  // namespace

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return call("cudaStreamCreate", [&] { return create_stream(stream, cudaStreamDefault, 0); });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return call("cudaStreamCreateWithFlags", [&] { return create_stream(stream, flags, 0); });
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int priority) {
  return call("cudaStreamCreateWithPriority", [&] { return create_stream(stream, flags, priority); });
}

cudaError_t cudaStreamGetFlags(cudaStream_t stream, unsigned* flags) {
  return call("cudaStreamGetFlags", [&] {
    require(flags != nullptr, cudaErrorInvalidValue);
    *flags = runtime().streams.flags(stream);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return release_call("cudaStreamDestroy", [&] {
    runtime().streams.destroy_stream(stream);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return call("cudaStreamSynchronize", [&] {
    ++runtime().synchronizations;
    for (const auto& task : runtime().streams.tails(stream)) runtime().tasks.wait(task);
    return runtime().errors.sticky();
  });
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  return call("cudaStreamQuery", [&] {
    bool done = true;
    for (const auto& task : runtime().streams.tails(stream)) done = ask(task) && done;
    return done ? runtime().errors.sticky() : cudaErrorNotReady;
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) {
  return call("cudaStreamWaitEvent", [&] {
    require(flags == cudaEventWaitDefault, cudaErrorInvalidValue);
    runtime().streams.wait_in_stream(stream, event);
    return cudaSuccess;
  });
}

// Its function runs in any schedule without being waited for: the host may wait for what it signals. Not on a device
// that a fault has ended, as CUDA documents.
cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
  return call("cudaLaunchHostFunc", [&] {
    require(function != nullptr, cudaErrorInvalidValue);
    const auto task = runtime().streams.enqueue(stream, [function, data] {
      in_host_function() = true;
      function(data);
      in_host_function() = false;
    });
    runtime().tasks.want(task);
    return cudaSuccess;
  });
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return call("cudaEventCreate", [&] { return create_event(event, cudaEventDefault); });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return call("cudaEventCreateWithFlags", [&] { return create_event(event, flags); });
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return release_call("cudaEventDestroy", [&] {
    runtime().streams.destroy_event(event);
    return cudaSuccess;
  });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return call("cudaEventRecord", [&] {
    runtime().streams.record(event, stream);
    return cudaSuccess;
  });
}

// An event that was never recorded counts as one that has happened.
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return call("cudaEventSynchronize", [&] {
    runtime().streams.refuse_while_capturing();
    return runtime().wait(runtime().streams.event(event).recorded);
  });
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  return call("cudaEventQuery", [&] {
    runtime().streams.refuse_while_capturing();
    return ask(runtime().streams.event(event).recorded) ? runtime().errors.sticky() : cudaErrorNotReady;
  });
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  return call("cudaEventElapsedTime", [&] {
    require(milliseconds != nullptr, cudaErrorInvalidValue);
    const auto from = runtime().streams.event(start);
    const auto to = runtime().streams.event(end);
    require(from.timed && to.timed && from.recorded && to.recorded, cudaErrorInvalidResourceHandle);
    TaskGraph& tasks = runtime().tasks;
    require(tasks.done(from.recorded) && tasks.done(to.recorded), cudaErrorNotReady);
    using Milliseconds = std::chrono::duration<float, std::milli>;
    *milliseconds = Milliseconds(tasks.finished(to.recorded) - tasks.finished(from.recorded)).count();
    return cudaSuccess;
  });
}
