// Calls that tests want to fail: each entry point asks here once, and so is counted.
#pragma once

#include <cstddef>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace lexiscope::simt {

class FailurePlan {
 public:
  /// No function stands for any; no code for the library's own unknown error.
  void fail(std::optional<std::string> function, int nth, std::optional<int> code);
  void clear();

  /// Counts a call of `function`; the code to return in its place, `unknown` where none was given.
  std::optional<int> next(const char* function, int unknown);
  std::size_t calls() const;
  void clear_calls();

 private:
  struct Failure {
    std::optional<std::string> function;
    int remaining;
    std::optional<int> code;
  };
  mutable std::mutex mutex_;
  std::vector<Failure> failures_;
  std::size_t calls_ = 0;
};

}  // namespace lexiscope::simt
