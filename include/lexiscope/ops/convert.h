// Copies a matrix into another element type or another place.
#pragma once

#include "lexiscope/tensor.h"

namespace lexiscope {

/// to[i][j] = from[i][j]: f32 to f32, f32 to bf16 (nearest, ties to even) and bf16 to f32. A NaN stays a NaN.
///
/// No rows or no columns: does nothing. Throws Error{kInvalidArgument} where a view is not of rank 2 with a dense last
/// dimension, the shapes differ or the views overlap; Error{kUnsupported} for another pair of types.
struct ConvertArgs {
  ConstTensorView from{};  ///< [rows, columns]
  TensorView to{};         ///< [rows, columns]
};

}  // namespace lexiscope
