#include "simt/runtime_tasks.h"

#include <exception>
#include <thread>
#include <utility>

#include "simt/runtime_errors.h"
#include "simt/runtime_memory.h"

namespace lexiscope::simt {

class Task {
 public:
  std::function<void()> work;
  TaskKind kind = TaskKind::kDeviceWork;
  std::uint64_t age = 0;
  std::vector<TaskPointer> after;      ///< those not done when this was enqueued
  std::vector<TaskPointer> followers;  ///< those that wait for this one
  std::size_t unfinished = 0;          ///< how many of `after` are not done
  bool wanted = false;
  bool done = false;
  TaskGraph::Clock::time_point finished;
};

TaskGraph::TaskGraph(DeviceMemory& memory, Errors& errors) : memory_(memory), errors_(errors) {
  // The graph lives until the process ends, and so does its thread.
  std::thread([this] { execute(); }).detach();
}

TaskPointer TaskGraph::enqueue(const std::vector<TaskPointer>& after, std::function<void()> work, TaskKind kind) {
  auto task = std::make_shared<Task>();
  task->work = std::move(work);
  task->kind = kind;
  const std::lock_guard lock(mutex_);
  task->age = ++enqueued_;
  for (const auto& earlier : after) {
    if (!earlier || earlier->done) continue;
    task->after.push_back(earlier);
    earlier->followers.push_back(task);
  }
  task->unfinished = task->after.size();
  pending_.emplace(task->age, task);
  if (schedule_ == StreamSchedule::kEager) want_locked(*task);
  return task;
}

void TaskGraph::want_locked(Task& task) {
  std::vector<Task*> open{&task};
  while (!open.empty()) {
    Task& next = *open.back();
    open.pop_back();
    if (next.done || next.wanted) continue;
    next.wanted = true;
    if (next.unfinished == 0) ready_.emplace(next.age, pending_.at(next.age));
    for (const auto& earlier : next.after) open.push_back(earlier.get());
  }
  runnable_.notify_one();
}

void TaskGraph::want_all_locked() {
  for (const auto& [age, task] : pending_) want_locked(*task);
}

void TaskGraph::want(const TaskPointer& task) {
  if (!task) return;
  const std::lock_guard lock(mutex_);
  want_locked(*task);
}

void TaskGraph::wait(const TaskPointer& task) {
  if (!task) return;
  std::unique_lock lock(mutex_);
  want_locked(*task);
  finished_.wait(lock, [&] { return task->done; });
}

void TaskGraph::wait_for_all() {
  std::unique_lock lock(mutex_);
  const std::uint64_t last = enqueued_;
  want_all_locked();
  finished_.wait(lock, [&] { return pending_.empty() || pending_.begin()->first > last; });
}

bool TaskGraph::done(const TaskPointer& task) const {
  const std::lock_guard lock(mutex_);
  return !task || task->done;
}

TaskGraph::Clock::time_point TaskGraph::finished(const TaskPointer& task) const {
  const std::lock_guard lock(mutex_);
  return task->finished;
}

void TaskGraph::set_schedule(StreamSchedule schedule) {
  const std::lock_guard lock(mutex_);
  schedule_ = schedule;
  if (schedule == StreamSchedule::kEager) want_all_locked();
}

std::size_t TaskGraph::pending() const {
  const std::lock_guard lock(mutex_);
  return pending_.size();
}

// Device memory is open while there is work, and closed before a waiting host learns that there is none: what it then
// dereferences by mistake crashes at once.
void TaskGraph::execute() {
  std::unique_lock lock(mutex_);
  while (true) {
    runnable_.wait(lock, [&] { return !ready_.empty(); });
    memory_.open();
    while (!ready_.empty()) {
      const TaskPointer task = std::prev(ready_.end())->second;
      ready_.erase(task->age);
      lock.unlock();
      execute(*task);
      lock.lock();
      finish(task);
      if (ready_.empty()) memory_.close();
      finished_.notify_all();
    }
  }
}

void TaskGraph::execute(Task& task) {
  const auto work = std::exchange(task.work, nullptr);  // what it captured is released here
  if (!work || (task.kind == TaskKind::kDeviceWork && errors_.sticky() != cudaSuccess)) return;
  try {
    work();
  } catch (const DeviceFault& fault) {
    errors_.set_sticky(fault.code(), fault.what());
  } catch (const std::exception& error) {
    errors_.set_sticky(cudaErrorUnknown, error.what());
  }
}

void TaskGraph::finish(const TaskPointer& task) {
  task->done = true;
  task->finished = Clock::now();
  task->after.clear();
  for (const auto& follower : std::exchange(task->followers, {}))
    if (--follower->unfinished == 0 && follower->wanted) ready_.emplace(follower->age, follower);
  pending_.erase(task->age);
}

}  // namespace lexiscope::simt
