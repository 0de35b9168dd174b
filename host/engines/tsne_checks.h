// Checks of what t-SNE takes from a caller, shared by its operations.
#pragma once

#include <string_view>

#include "lexiscope/ops/affinities.h"

namespace lexiscope {

/// Throws Error{kInvalidArgument} where the arrays' types or lengths do not make a square matrix in compressed rows.
void require_affinities_shape(std::string_view operation, const SparseMatrix* affinities);

/// Throws Error{kInvalidArgument} where the contents do not: row offsets that do not rise from 0 to the number of
/// entries, columns out of range, on the diagonal or not ascending in their row, or values that are negative or not
/// finite. Reads the arrays: for engines whose memory is the host's.
void require_affinities_contents(std::string_view operation, const SparseMatrix& affinities);

/// Throws Error{kInvalidArgument} where a coordinate is not finite, or so large that squares of distances overflow.
/// Reads the map, as above.
void require_positions(std::string_view operation, const MatrixView<const float>& positions, int threads);

}  // namespace lexiscope
