// Does the time grow as the law says? Timings of one operation at growing sizes, and the exponent fitted to them.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <ctime>
#include <functional>
#include <limits>
#include <span>
#include <utility>
#include <vector>

namespace lexiscope::bench {

/// The b of y = a * x^b, by least squares on log y against log x. All are positive, and at least two x differ.
inline double fitted_exponent(std::span<const double> x, std::span<const double> y) {
  const auto count = static_cast<double>(x.size());
  double mean_x = 0, mean_y = 0, covariance = 0, variance = 0;
  for (std::size_t i = 0; i < x.size(); ++i) mean_x += std::log(x[i]) / count, mean_y += std::log(y[i]) / count;
  for (std::size_t i = 0; i < x.size(); ++i) {
    covariance += (std::log(x[i]) - mean_x) * (std::log(y[i]) - mean_y);
    variance += (std::log(x[i]) - mean_x) * (std::log(x[i]) - mean_x);
  }
  return covariance / variance;
}

/// Seconds of this process's processors so far: other programs on the machine delay the work but hardly change these.
inline double process_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

/// Seconds gone by, for work on several threads.
inline double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// The least cost seen at each size, in seconds of the clock given: by default one for work on one thread, since
/// threads that spin while they wait would count as well. A sweep runs every size once, so that a disturbance hits few
/// of them.
class CostSweep {
 public:
  using Clock = std::function<double()>;

  explicit CostSweep(std::vector<std::size_t> sizes, Clock clock = process_seconds)
      : sizes_(std::move(sizes)),
        seconds_(sizes_.size(), std::numeric_limits<double>::infinity()),
        clock_(std::move(clock)) {}

  /// Runs work(size) once at every size.
  template <typename Work>
  void run(Work&& work) {
    for (std::size_t i = 0; i < sizes_.size(); ++i) {
      const double start = clock_();
      work(sizes_[i]);
      seconds_[i] = std::min(seconds_[i], clock_() - start);
    }
  }

  /// At the size of that index.
  double least_seconds(std::size_t index) const { return seconds_[index]; }

  /// The exponent of the size in the cost.
  double exponent() const { return fitted_exponent(std::vector<double>(sizes_.begin(), sizes_.end()), seconds_); }

 private:
  std::vector<std::size_t> sizes_;
  std::vector<double> seconds_;
  Clock clock_;
};

}  // namespace lexiscope::bench
