// Ctrl-C and a polite kill as a stop token.
#pragma once

#include <atomic>
#include <stop_token>
#include <thread>

namespace lexiscope::cli {

/// While it lives, the first SIGINT or SIGTERM triggers the token; a second one ends the process at once. One at a
/// time.
class StopOnSignals {
 public:
  StopOnSignals();
  StopOnSignals(const StopOnSignals&) = delete;
  StopOnSignals& operator=(const StopOnSignals&) = delete;
  ~StopOnSignals();

  std::stop_token token() const { return stop_.get_token(); }

 private:
  std::stop_source stop_;
  std::atomic<bool> ending_ = false;
  std::thread watcher_;
};

}  // namespace lexiscope::cli
