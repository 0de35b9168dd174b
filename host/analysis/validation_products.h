// Products and activations in double, and how far those of f32 may lie from them: what several validations share.
#pragma once

#include <cmath>
#include <cstddef>
#include <numbers>

#include "host/analysis/validation_run.h"
#include "lexiscope/ops/linear.h"

namespace lexiscope {

/// The sum of a row's products with a weight's row, and of their magnitudes.
struct Product {
  double sum, magnitude;
};

inline Product product_of(const float* x, const float* w, std::size_t n, double bias) {
  Product product{bias, std::abs(bias)};
  for (std::size_t k = 0; k < n; ++k) {
    product.sum += double(x[k]) * w[k];
    product.magnitude += std::abs(double(x[k]) * w[k]);
  }
  return product;
}

// n products and a bias in any order round n + 1 times; second-order terms are less than one more.
inline double sum_bound(std::size_t n, double magnitude) { return static_cast<double>(n + 2) * kUnitF32 * magnitude; }

inline double activate(Activation activation, double x) {
  if (activation == Activation::gelu_erf) return x / 2 * std::erfc(-x / std::numbers::sqrt2);
  if (activation == Activation::gelu_tanh)
    return x / 2 * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
  if (activation == Activation::silu) return x / (1 + std::exp(-x));
  return x;
}

// The activation's own error where its value is y: |x| Phi(-|x|) is off by less than 2.5 u, the difference rounds; the
// forms by tanh and SiLU have quotients and an exponential that stay below the same.
inline double activation_bound(Activation activation, double y) {
  return activation == Activation::none ? 0 : kUnitF32 * (4 * std::abs(y) + 2.5);
}

// All their slopes stay below 1.13: what an error of the argument becomes.
inline double slope_bound(Activation activation) { return activation == Activation::none ? 1 : 1.13; }

}  // namespace lexiscope
