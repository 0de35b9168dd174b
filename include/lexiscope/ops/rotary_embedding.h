// Rotary position embedding: pairs of a head's elements turn by an angle that grows with the token's position.
#pragma once

#include <cstdint>

#include "lexiscope/tensor.h"

namespace lexiscope {

/// Which two elements of a head, of its first d_r, turn together as pair i.
enum class RotaryLayout : std::uint8_t {
  halves,      ///< i and i + d_r / 2, as Hugging Face and GPT-NeoX order them
  interleaved  ///< 2 i and 2 i + 1, as the paper and LLaMA's GGUF files order them
};

/// In place, for every token t, head and pair i < d_r / 2: (a, b) becomes (a cos - b sin, b cos + a sin) with
/// cos = cosine[t][i], sin = sine[t][i]. Elements of a head from d_r on stay. Su et al. 2021, eq. 15.
///
/// T = 0 does nothing. Throws Error{kInvalidArgument} where a shape disagrees, `heads` is 0 or does not divide x's
/// columns, d_r exceeds the head size, or x overlaps a table.
struct RotaryEmbeddingArgs {
  MatrixView<float> x{};  ///< [T, heads * d_k]
  std::size_t heads = 0;
  MatrixView<const float> cosine{};  ///< [T, d_r / 2]
  MatrixView<const float> sine{};    ///< [T, d_r / 2]
  RotaryLayout layout = RotaryLayout::halves;
};

}  // namespace lexiscope
