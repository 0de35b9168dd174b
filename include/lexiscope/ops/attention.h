// Exact softmax attention over many heads, streamed over the keys, with the statistics of its map that one pass gives.
#pragma once

#include <cstdint>

#include "lexiscope/tensor.h"

namespace lexiscope {

enum class AttentionMask : std::uint8_t {
  none,
  causal,  ///< query i sees key j where j <= i + (T_k - T_q): the last query sees every key
};

/// One number a row of the map A, from the same pass as the output. Each view may be empty: not wanted.
/// A row that sees no key has log_sum_exp and maximum -infinity, entropy 0 and argmax -1.
struct AttentionStatistics {
  MatrixView<float> log_sum_exp{};    ///< [H, T_q] log sum_j exp(s_ij), nats, s = scale * q_i . k_j
  MatrixView<float> entropy{};        ///< [H, T_q] -sum_j a_ij log a_ij, nats
  MatrixView<float> maximum{};        ///< [H, T_q] max_j s_ij
  MatrixView<std::int32_t> argmax{};  ///< [H, T_q] the smallest j where s_ij is the maximum

  constexpr bool wanted() const noexcept {
    return !log_sum_exp.empty() || !entropy.empty() || !maximum.empty() || !argmax.empty();
  }
};

/// out[h] = softmax(scale * Q[h] K[g]^T) V[g], g = h / (H / H_kv) (grouped-query heads). Vaswani et al. 2017, eq. 1.
/// Memory is O(T) a head on every engine but the reference: the map is never held. A row that sees no key gives 0.
///
/// T_q = 0 does nothing. Throws Error{kInvalidArgument} where shapes or types disagree, H is no multiple of H_kv,
/// d_k is 0, scale is not finite, or `out` overlaps an input; Error{kUnsupported} for a type the engine has no
/// kernel for.
struct AttentionArgs {
  ConstTensorView query{};                   ///< [H, T_q, d_k], f32, bf16 or f16 (cpu: not f16; reference: f64 too)
  ConstTensorView key{};                     ///< [H_kv, T_k, d_k], of the query's type
  ConstTensorView value{};                   ///< [H_kv, T_k, d_k], of the query's type
  TensorView out{};                          ///< [H, T_q, d_k] f32; [T_q, H * d_k] in memory with strides d_k, H d_k
  float scale = 0;                           ///< usually 1 / sqrt(d_k)
  AttentionMask mask = AttentionMask::none;  ///< combined with key_padding where both are given
  VectorView<const std::uint8_t> key_padding{};  ///< [T_k], 0 where the key is padding, or empty for none
  AttentionStatistics statistics{};
};

}  // namespace lexiscope
