// The operations of all streams and the order between them: a graph, executed by one thread. An operation executes once
// it is wanted and those that it comes after are done; among several, the youngest does.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "simt/runtime.h"

namespace lexiscope::simt {

class DeviceMemory;
class Errors;
class Task;
using TaskPointer = std::shared_ptr<Task>;  ///< none where nothing was enqueued

/// Bookkeeping and the host's functions happen on a device that a fault has ended too; its work does not.
enum class TaskKind { kDeviceWork, kHostWork };

class TaskGraph {
 public:
  using Clock = std::chrono::steady_clock;

  TaskGraph(DeviceMemory& memory, Errors& errors);
  TaskGraph(const TaskGraph&) = delete;
  TaskGraph& operator=(const TaskGraph&) = delete;

  /// `work` executes after all of `after`, which may hold none-pointers.
  TaskPointer enqueue(const std::vector<TaskPointer>& after, std::function<void()> work, TaskKind kind);

  void want(const TaskPointer& task);  ///< execute it, and what it comes after, without waiting
  void wait(const TaskPointer& task);
  void wait_for_all();
  bool done(const TaskPointer& task) const;
  Clock::time_point finished(const TaskPointer& task) const;  ///< of a task that is done

  void set_schedule(StreamSchedule schedule);
  std::size_t pending() const;

 private:
  void want_locked(Task& task);
  void want_all_locked();
  void execute();
  void execute(Task& task);
  void finish(const TaskPointer& task);

  DeviceMemory& memory_;
  Errors& errors_;
  mutable std::mutex mutex_;
  std::condition_variable runnable_;
  std::condition_variable finished_;
  std::map<std::uint64_t, TaskPointer> pending_;  ///< by age: all that are not done
  std::map<std::uint64_t, TaskPointer> ready_;    ///< those that may execute now
  std::uint64_t enqueued_ = 0;
  StreamSchedule schedule_ = StreamSchedule::kLazy;
};

}  // namespace lexiscope::simt
