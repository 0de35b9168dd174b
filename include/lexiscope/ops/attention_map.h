// What the attention map A shows: sums, pools, peaks and pieces of it, from a second pass over Q K^T or together with
// attention itself. The map is never held.
#pragma once

#include <cstddef>

#include "lexiscope/ops/attention.h"

namespace lexiscope {

/// A = softmax(scale * Q[h] K[g]^T) as attention() has it, from the log_sum_exp that attention() gave. Outputs that are
/// empty are not wanted. Memory beyond inputs and outputs is O(T) a head on every engine but the reference.
///
/// Pooling cuts the queries into P equal shares, query i falling into cell floor(i * P / T_q), and the keys likewise:
/// P is at most T_q and T_k. Masked weights count as 0.
///
/// T_q = 0 or T_k = 0: the outputs are zeroed (top_index -1). Throws Error{kInvalidArgument} and Error{kUnsupported} as
/// attention() does, and where an output's shape disagrees or the rectangle leaves the map.
struct AttentionMapArgs {
  ConstTensorView query{};                       ///< [H, T_q, d_k], f32, bf16 or f16 (cpu: not f16; reference: f64 too)
  ConstTensorView key{};                         ///< [H_kv, T_k, d_k], of the query's type
  float scale = 0;                               ///< as given to attention()
  AttentionMask mask = AttentionMask::none;      ///< as given to attention()
  VectorView<const std::uint8_t> key_padding{};  ///< as given to attention()
  MatrixView<const float> log_sum_exp{};         ///< [H, T_q] from attention(); -infinity where no key is seen

  MatrixView<float> received{};     ///< [H, T_k] sum_i a_ij: the attention that key j receives
  MatrixView<float> by_distance{};  ///< [H, max(T_q, T_k)] sum of a_ij over pairs |i + T_k - T_q - j| = distance
  TensorView pooled_mean{};         ///< [H, P, P] f32: the mean of each cell's weights
  TensorView pooled_maximum{};      ///< [H, P, P] f32
  TensorView top_index{};   ///< [H, T_q, k] i32: the k largest a_ij of row i, the largest first (the smaller j where
                            ///< they are equal); -1 past the keys that the query sees
  TensorView top_weight{};  ///< [H, T_q, k] f32: their a_ij; 0 past them. Wanted together with top_index
  std::size_t first_query = 0, first_key = 0;  ///< where the rectangle begins
  TensorView rectangle{};                      ///< [H, rows, columns] f32: a_ij from there on; 0 where masked

  /// Whether any output is.
  constexpr bool wanted() const noexcept {
    return !received.empty() || !by_distance.empty() || !pooled_mean.empty() || !pooled_maximum.empty() ||
           !top_index.empty() || !rectangle.empty();
  }
};

}  // namespace lexiscope
