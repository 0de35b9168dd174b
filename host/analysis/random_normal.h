// Normal values, the same on every machine.
#pragma once

#include <cmath>
#include <numbers>

#include "host/analysis/random_uniform.h"

namespace lexiscope {

class NormalGenerator {
 public:
  explicit NormalGenerator(std::uint64_t seed) : uniform_(seed) {}

  /// Standard normal: Box and Muller 1958.
  double next() {
    const double radius = std::sqrt(-2 * std::log(uniform_.next()));
    return radius * std::cos(2 * std::numbers::pi * uniform_.next());
  }

 private:
  UniformGenerator uniform_;
};

}  // namespace lexiscope
