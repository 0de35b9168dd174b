// Seconds of a stage over all the processes that worked on a run: what the checkpoint says, and this one's.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>

namespace lexiscope {

class StageClock {
 public:
  /// Starts now; `state` is the job's part of the checkpoint, with an object "seconds".
  StageClock(const nlohmann::json& state, const std::string& stage)
      : before_(state.at("seconds").value(stage, 0.0)), start_(std::chrono::steady_clock::now()) {}

  double seconds() const {
    return before_ + std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  double before_;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace lexiscope
