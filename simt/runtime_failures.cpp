#include "simt/runtime_failures.h"

#include <utility>

namespace lexiscope::simt {

void FailurePlan::fail(std::optional<std::string> function, int nth, std::optional<int> code) {
  const std::lock_guard lock(mutex_);
  failures_.push_back({std::move(function), nth, code});
}

void FailurePlan::clear() {
  const std::lock_guard lock(mutex_);
  failures_.clear();
}

std::optional<int> FailurePlan::next(const char* function, int unknown) {
  const std::lock_guard lock(mutex_);
  ++calls_;
  std::optional<int> code;
  for (auto failure = failures_.begin(); failure != failures_.end();) {
    const bool counts = !failure->function || *failure->function == function;
    if (!counts || --failure->remaining > 0) {
      ++failure;
      continue;
    }
    code = failure->code.value_or(unknown);
    failure = failures_.erase(failure);
  }
  return code;
}

std::size_t FailurePlan::calls() const {
  const std::lock_guard lock(mutex_);
  return calls_;
}

void FailurePlan::clear_calls() {
  const std::lock_guard lock(mutex_);
  calls_ = 0;
}

}  // namespace lexiscope::simt
