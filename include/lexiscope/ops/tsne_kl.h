// The true Kullback-Leibler divergence of a t-SNE map: in double, normalised exactly over all pairs.
#pragma once

#include "lexiscope/control.h"
#include "lexiscope/ops/affinities.h"
#include "lexiscope/tensor.h"

namespace lexiscope {

/// KL(P, Q) = sum_ij p_ij log(p_ij / q_ij), q_ij = (1 + norm(y_i - y_j)^2)^-1 / Z with Z over all pairs i != j;
/// p is normalised by its own sum in double. nats. O(N^2).
///
/// Throws Error{kInvalidArgument} where a shape disagrees, the map is not [N, 2] or [N, 3], no affinity is positive, or
/// a coordinate is not finite or beyond 1e15 in magnitude.
struct TsneKlArgs {
  const SparseMatrix* affinities = nullptr;  ///< [N, N]
  MatrixView<const float> positions{};       ///< [N, 2 or 3]
  const Control* control = nullptr;
};

}  // namespace lexiscope
