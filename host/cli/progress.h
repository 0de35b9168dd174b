// One line on the terminal that says how far the work is, how fast it goes and how long it will take.
#pragma once

#include <chrono>
#include <string>

#include "lexiscope/control.h"
#include "lexiscope/project.h"

namespace lexiscope::cli {

/// Draws on stderr where that is a terminal and the user did not ask for quiet; else does nothing. The line is gone
/// when the object is.
class ProgressLine {
 public:
  explicit ProgressLine(bool quiet);
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  ~ProgressLine() { clear(); }

  void begin(const ProjectStage& stage);
  void update(double share_done);
  void clear();

 private:
  using Clock = std::chrono::steady_clock;

  bool shown_;
  std::string name_, unit_;
  std::size_t first_ = 0, units_ = 0;
  Clock::time_point start_{}, drawn_{};
};

}  // namespace lexiscope::cli
