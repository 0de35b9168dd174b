// The check for NaN and infinity that operations on points share.
#pragma once

#include <string_view>

#include "lexiscope/tensor.h"

namespace lexiscope {

/// Throws Error{kInvalidArgument} where x holds a NaN or infinity, naming the first in row order:
/// "neighbors: points has nan in row 17, column 3". One pass over x on `threads` threads.
void require_finite(std::string_view operation, std::string_view name, MatrixView<const float> x, int threads);

}  // namespace lexiscope
