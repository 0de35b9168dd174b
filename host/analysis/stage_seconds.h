// Seconds by stage, in the order in which the stages were first begun. A stage within another counts for itself alone.
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace lexiscope {

class StageSeconds {
 public:
  /// While it lives, time is the stage's; what was running before waits.
  class Running {
   public:
    Running(StageSeconds& seconds, std::string_view stage) : seconds_(seconds), outer_(seconds.switch_to(stage)) {}
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;
    ~Running() { seconds_.switch_back(outer_); }

   private:
    StageSeconds& seconds_;
    std::size_t outer_;
  };

  const std::vector<std::pair<std::string, double>>& stages() const noexcept { return stages_; }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::size_t kNone = SIZE_MAX;

  void take() {
    const auto now = Clock::now();
    if (current_ != kNone) stages_[current_].second += std::chrono::duration<double>(now - since_).count();
    since_ = now;
  }

  std::size_t switch_to(std::string_view stage) {
    take();
    const std::size_t outer = current_;
    for (current_ = 0; current_ < stages_.size() && stages_[current_].first != stage;) ++current_;
    if (current_ == stages_.size()) stages_.emplace_back(stage, 0.0);
    return outer;
  }

  void switch_back(std::size_t outer) {
    take();
    current_ = outer;
  }

  std::vector<std::pair<std::string, double>> stages_;
  std::size_t current_ = kNone;
  Clock::time_point since_{};
};

}  // namespace lexiscope
