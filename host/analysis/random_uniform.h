// Uniform values from a generator of our own: the same on every machine and with every standard library, whose
// distributions are free to differ.
#pragma once

#include <cstdint>

namespace lexiscope {

class UniformGenerator {
 public:
  explicit UniformGenerator(std::uint64_t seed) : state_(seed) {}

  /// Uniform in (0, 1], so that its logarithm is finite.
  double next() { return static_cast<double>((bits() >> 11) + 1) * 0x1p-53; }

 private:
  /// SplitMix64: Steele, Lea and Flood 2014.
  std::uint64_t bits() {
    std::uint64_t mixed = state_ += 0x9e3779b97f4a7c15;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    return mixed ^ (mixed >> 31);
  }

  std::uint64_t state_;
};

}  // namespace lexiscope
