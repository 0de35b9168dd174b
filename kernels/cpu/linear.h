#pragma once

#include "kernels/cpu/context.h"
#include "kernels/cpu/packed_weights.h"
#include "kernels/cpu/product_config.h"
#include "lexiscope/ops/linear.h"

namespace lexiscope::cpu {

/// Bytes of Context::workspace that it needs.
std::size_t linear_workspace(const LinearArgs& args, const PackedWeights& weights, const Context& context);

/// args.weight is not read: `weights` is what it holds.
void linear(const LinearArgs& args, const PackedWeights& weights, const Context& context);

/// A linear layer cut into tasks, for a parallel region that holds more than one layer.
class LinearTasks {
 public:
  LinearTasks(std::size_t rows, const PackedWeights& weights, const Context& context);

  std::size_t count() const noexcept { return config_.tasks(); }
  /// Bytes that each thread needs beside the arguments.
  std::size_t scratch_bytes() const noexcept;
  /// y = activation(x W^T + bias) * factor + residual on the task's rows and columns, where factor [T, out] may be y,
  /// or empty for none.
  void run(std::size_t task, const LinearArgs& args, const PackedWeights& weights, MatrixView<const float> factor,
           std::byte* scratch) const;

 private:
  Units units_;
  ProductConfig config_;
};

/// Rows from which on tiles multiply. With fewer, splitting the weights into parts costs what tiles save, and tiles
/// lose more than vectors do to a neighbour on the same core.
inline constexpr std::size_t kFewestTileRows = 256;

/// What multiplies so many rows with the weights; threads have no say in it, so that they change no bit.
Units choose_units(std::size_t rows, const PackedWeights& weights, const Context& context);

}  // namespace lexiscope::cpu
