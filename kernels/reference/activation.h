// The activations in double, as their sources write them.
#pragma once

#include <cmath>
#include <numbers>

#include "lexiscope/ops/linear.h"

namespace lexiscope::reference {

inline double activate(Activation activation, double x) {
  switch (activation) {
    case Activation::none:
      return x;
    case Activation::gelu_erf:
      return x * 0.5 * std::erfc(-x / std::numbers::sqrt2);  // x Phi(x), accurate in the left tail too
    case Activation::gelu_tanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
    case Activation::silu:
      return x / (1 + std::exp(-x));
  }
  return x;
}

}  // namespace lexiscope::reference
