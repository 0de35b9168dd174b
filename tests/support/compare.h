// Comparison at derived tolerances: the worst error as a share of the bound that its test derived.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <vector>

namespace lexiscope::testing {

inline constexpr double kUnitF32 = 0x1p-24;  ///< unit roundoff of f32
inline constexpr double kUnitBf16 = 0x1p-8;  ///< unit roundoff of bf16
inline constexpr double kUnitF16 = 0x1p-11;  ///< unit roundoff of f16
inline constexpr double kUnitF64 = 0x1p-53;  ///< unit roundoff of f64

/// |got - want| / bound; 0 where both are equal (infinities too), infinite where one alone is NaN or the bound is 0.
inline double error_share(double got, double want, double bound) {
  if (got == want) return 0;
  const double share = std::abs(got - want) / bound;
  return std::isnan(share) ? std::numeric_limits<double>::infinity() : share;
}

/// n values, normal with the given mean and deviation; the same for the same seed.
inline std::vector<float> random_normal(std::size_t n, unsigned seed, float mean = 0, float deviation = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(mean, deviation);
  std::vector<float> values(n);
  for (float& value : values) value = normal(random);
  return values;
}

}  // namespace lexiscope::testing
