// The joint probabilities p_ij of t-SNE: calibrated to a perplexity over nearest neighbours, or one Gaussian for all.
#pragma once

#include <cstdint>

#include "lexiscope/control.h"
#include "lexiscope/tensor.h"

namespace lexiscope {

/// A symmetric sparse matrix [N, N] in compressed rows, on the engine that made it. Columns ascend in each row;
/// there is no diagonal; the values sum to 1 (within rounding).
struct SparseMatrix {
  Tensor row_offsets{};  ///< [N + 1] i64
  Tensor columns{};      ///< [entries] i32
  Tensor values{};       ///< [entries] f32

  std::size_t rows() const noexcept { return row_offsets.empty() ? 0 : row_offsets.view().shape[0] - 1; }
  std::size_t entries() const noexcept { return columns.view().shape[0]; }
};

/// p_ij = (p_j|i + p_i|j) / 2N; p_j|i is proportional to exp(-beta_i dist_ij^2) over i's neighbours, with beta_i such
/// that the entropy of p_.|i is log(perplexity). van der Maaten and Hinton 2008, eq. 1; van der Maaten 2014,
/// section 4.1.
///
/// Where all of a point's neighbours are equally far, p_.|i is uniform (no beta gives another entropy).
/// Throws Error{kInvalidArgument} where a shape disagrees, an index is outside 0..N-1 or is i itself, a distance is
/// negative or not finite, or perplexity is not in [1, k].
struct AffinitiesArgs {
  MatrixView<const std::int32_t> indices{};  ///< [N, k], as Engine::neighbors returns them
  MatrixView<const float> distances{};       ///< [N, k], ascending; not squared
  float perplexity = 30;
  const Control* control = nullptr;
};

/// p_ij = exp(-norm(x_i - x_j)^2 / 2 sigma^2) / sum over all pairs k != l of the same: the source document's form.
/// Pairs whose p_ij rounds to 0 in f32 are left out. O(N^2 d) time, O(N^2) memory where sigma is wide.
///
/// Throws Error{kInvalidArgument} where sigma is not positive, N < 2, a point holds a NaN or infinity (names the row),
/// or every pair underflows; Error{kOutOfMemory} where the pairs do not fit (says how many bytes they need).
struct GlobalAffinitiesArgs {
  MatrixView<const float> points{};  ///< [N, d]
  float sigma = 1;                   ///< in the unit of the points
  const Control* control = nullptr;
};

}  // namespace lexiscope
