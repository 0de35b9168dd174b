// The line is drawn over itself, at most ten times a second.
#include "host/cli/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "host/cli/text.h"

namespace lexiscope::cli {
namespace {

constexpr auto kRedrawEvery = std::chrono::milliseconds(100);
constexpr auto kRateKnownAfter = std::chrono::milliseconds(300);

}  // namespace

ProgressLine::ProgressLine(bool quiet) : shown_(!quiet && isatty(STDERR_FILENO) == 1) {}

void ProgressLine::begin(const ProjectStage& stage) {
  name_ = stage.name;
  unit_ = stage.unit;
  first_ = stage.first;
  units_ = stage.units;
  start_ = Clock::now();
  drawn_ = {};
  update(units_ > 0 ? static_cast<double>(first_) / static_cast<double>(units_) : 0);
}

void ProgressLine::update(double share_done) {
  const auto now = Clock::now();
  if (!shown_ || now - drawn_ < kRedrawEvery) return;
  drawn_ = now;
  const double units = static_cast<double>(units_), done = share_done * units;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const double rate = seconds > 0 ? (done - static_cast<double>(first_)) / seconds : 0;
  std::string line =
      fmt::format("{:<10}  {:<20}  {:>3.0f} %  {} of {} {}", name_, bar(share_done, 20), 100 * share_done,
                  thousands(static_cast<std::uint64_t>(done)), thousands(units_), unit_);
  if (now - start_ >= kRateKnownAfter && rate > 0)
    line += fmt::format(", {} a second, {} left",
                        rate < 10 ? fmt::format("{:.1f}", rate) : thousands(static_cast<std::uint64_t>(rate)),
                        readable_seconds((units - done) / rate));
  fmt::print(stderr, "\r{}\x1b[K", line);
  std::fflush(stderr);
}

void ProgressLine::clear() {
  if (!shown_) return;
  fmt::print(stderr, "\r\x1b[K");
  std::fflush(stderr);
}

}  // namespace lexiscope::cli
