// The weight matrices that the library's own engines hold, and the checks of arguments that name one.
#pragma once

#include <mutex>
#include <vector>

#include "host/core/host_memory.h"
#include "host/core/require.h"
#include "kernels/cpu/context.h"
#include "kernels/cpu/packed_weights.h"
#include "kernels/reference/weight.h"
#include "lexiscope/ops/linear.h"

namespace lexiscope {

/// In double and otherwise as given: row-major, dense.
class ReferencePackedMatrix final : public PackedMatrix {
 public:
  ReferencePackedMatrix(MatrixView<const float> weight, DType precision, std::string_view engine);
  reference::Weight view() const noexcept {
    return {.values = {values_.data(), rows(), columns(), columns()}, .in_bf16 = in_bf16_};
  }

 private:
  bool in_bf16_;
  std::vector<double> values_;
};

/// In the layout of kernels/cpu/packed_weights.h.
class CpuPackedMatrix final : public PackedMatrix {
 public:
  CpuPackedMatrix(MatrixView<const float> weight, DType precision, std::string_view engine, int threads);
  ~CpuPackedMatrix() override;
  /// As the product with so many rows reads it. The first that tiles multiply makes the weights' parts, which are kept
  /// as long as those of all matrices of the process take less than kMostBytesOfParts.
  const cpu::PackedWeights& weights(std::size_t rows, const cpu::Context& context) const;
  const cpu::PackedWeights& weights() const noexcept { return weights_; }

 private:
  void keep_parts(int threads) const;

  Tensor storage_;
  cpu::PackedWeights weights_;
  mutable std::once_flag asked_for_parts_;
  mutable Tensor parts_;
  mutable cpu::PackedWeights weights_with_parts_;  ///< weights_, and the parts if there was room
};

/// A model of 85 million weights.
inline constexpr std::size_t kMostBytesOfParts = std::size_t{512} << 20;

/// Throws Error{kInvalidArgument} unless `weight` is there, was packed by the engine of that name, and takes rows of
/// `columns` elements. `argument` is the operation and the argument, as in "linear: weight".
inline void require_weight(const PackedMatrix* weight, std::string_view engine, std::size_t columns,
                           std::string_view argument) {
  require(weight != nullptr, "{} is null", argument);
  require(weight->engine() == engine, "{} was packed by engine \"{}\", this is \"{}\"", argument, weight->engine(),
          engine);
  require(weight->columns() == columns, "{} is [{}, {}], needs {} columns", argument, weight->rows(), weight->columns(),
          columns);
}

}  // namespace lexiscope
