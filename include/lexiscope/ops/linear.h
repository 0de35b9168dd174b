// A linear layer on weights that an engine holds in its own layout, with the bias, activation and residual that
// follow it fused into one pass over the output.
#pragma once

#include <cstdint>
#include <string_view>

#include "lexiscope/tensor.h"

namespace lexiscope {

enum class Activation : std::uint8_t {
  none,
  gelu_erf,   ///< x Phi(x), exact: Hendrycks and Gimpel 2016, as BERT has it
  gelu_tanh,  ///< 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), as GPT-2 has it
  silu,       ///< x / (1 + exp(-x)): Hendrycks and Gimpel 2016, as the LLaMA family has it
};

/// A weight matrix [out, in], at least [1, 1], in the layout of the engine that made it (Engine::pack), which copies
/// it. Usable on engines of that name alone.
class PackedMatrix {
 public:
  PackedMatrix(std::size_t rows, std::size_t columns, std::string_view engine)
      : rows_(rows), columns_(columns), engine_(engine) {}
  PackedMatrix(const PackedMatrix&) = delete;
  PackedMatrix& operator=(const PackedMatrix&) = delete;
  virtual ~PackedMatrix() = default;

  std::size_t rows() const noexcept { return rows_; }
  std::size_t columns() const noexcept { return columns_; }
  std::string_view engine() const noexcept { return engine_; }

 private:
  std::size_t rows_, columns_;
  std::string_view engine_;
};

/// y = activation(x W^T + bias) + residual.
///
/// T = 0 does nothing. Throws Error{kInvalidArgument} where a shape disagrees, the weight belongs to another engine,
/// or y overlaps an argument (but for a residual that is y itself).
struct LinearArgs {
  MatrixView<const float> x{};           ///< [T, in]
  const PackedMatrix* weight = nullptr;  ///< [out, in]
  VectorView<const float> bias{};        ///< [out], or empty for none
  Activation activation = Activation::none;
  MatrixView<const float> residual{};  ///< [T, out], or empty for none
  MatrixView<float> y{};               ///< [T, out]; may be residual itself; must overlap nothing otherwise
};

}  // namespace lexiscope
