#pragma once

#include "kernels/cpu/context.h"
#include "kernels/cpu/packed_weights.h"
#include "kernels/cpu/product_config.h"
#include "kernels/cpu/tile_layout.h"
#include "lexiscope/ops/linear.h"

namespace lexiscope::cpu {

/// Bytes of Context::workspace that it needs.
std::size_t linear_workspace(const LinearArgs& args, const PackedWeights& weights, const Context& context);

/// args.weight is not read: `weights` is what it holds.
void linear(const LinearArgs& args, const PackedWeights& weights, const Context& context);

/// A linear layer cut into tasks, for a parallel region that holds more than one layer.
class LinearTasks {
 public:
  LinearTasks(std::size_t rows, const PackedWeights& weights, Units units, int threads);

  std::size_t count() const noexcept { return config_.tasks(); }
  /// Bytes of memory that each thread's scratch needs.
  std::size_t scratch_bytes() const noexcept { return units_ == Units::tiles ? TileScratch::bytes() : 0; }
  TileScratch scratch(std::byte* memory) const;
  /// y = activation(x W^T + bias) * factor + residual on the task's rows and columns, where factor [T, out] may be y,
  /// or empty for none. args.x stays as it is from call to call with one scratch.
  void run(std::size_t task, const LinearArgs& args, const PackedWeights& weights, MatrixView<const float> factor,
           TileScratch& scratch) const;

 private:
  Units units_;
  ProductConfig config_;
};

/// Rows from which on tiles multiply. With fewer the time is that of reading the weights, of which tiles read 6 bytes
/// and vectors 4.
inline constexpr std::size_t kFewestTileRows = 64;

/// What multiplies so many rows with the weights; threads have no say in it, so that they change no bit.
Units choose_units(std::size_t rows, const PackedWeights& weights, const Context& context);

/// Elements of the parts of weights in f32, and the parts, which PackedWeights::parts may point to.
std::size_t size_of_parts(const PackedWeights& weights);
void split_weights(const PackedWeights& weights, std::uint16_t* parts, int threads);

}  // namespace lexiscope::cpu
