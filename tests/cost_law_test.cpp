// The fit behind the cost laws that the benches print: exact on exact power laws, and blind to the constant factor.
#include "bench/cost_law.h"

#include <gtest/gtest.h>

namespace lexiscope::bench {
namespace {

TEST(FittedExponent, IsThatOfAPowerLaw) {
  const std::vector<double> sizes{512, 1024, 2048, 4096};
  for (const double exponent : {-1.0, 0.0, 1.0, 1.5, 2.0}) {
    std::vector<double> seconds;
    for (const double size : sizes) seconds.push_back(3e-9 * std::pow(size, exponent));
    EXPECT_NEAR(fitted_exponent(sizes, seconds), exponent, 1e-12);
  }
}

// By hand: log2 y is 0, 2, 1 at log2 x = 0, 1, 2, so the slope is (-1 * -1 + 1 * 0) / 2 = 1/2.
TEST(FittedExponent, IsTheLeastSquaresSlope) {
  EXPECT_NEAR(fitted_exponent(std::vector<double>{1, 2, 4}, std::vector<double>{1, 4, 2}), 0.5, 1e-12);
}

// Linear work of a millisecond a unit on a clock that the test moves, with a surplus in the first sweep: had that one
// counted, the exponent would be under 0.2.
TEST(CostSweep, KeepsTheLeastCost) {
  double now = 5;
  CostSweep sweep({4, 8, 16}, [&] { return now; });
  for (const double surplus : {60.0, 0.0, 3.0})
    sweep.run([&](std::size_t size) { now += 1e-3 * (static_cast<double>(size) + surplus); });
  EXPECT_NEAR(sweep.least_seconds(1), 8e-3, 1e-12);
  EXPECT_NEAR(sweep.exponent(), 1.0, 1e-9);
}

TEST(CostSweep, CountsThisProcessesSeconds) {
  CostSweep sweep({1});
  sweep.run([](std::size_t) {
    for (const double start = process_seconds(); process_seconds() - start < 0.01;) continue;
  });
  EXPECT_GE(sweep.least_seconds(0), 0.01);
}

}  // namespace
}  // namespace lexiscope::bench
