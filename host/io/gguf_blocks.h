// How ggml stores numbers: each type's block of elements, and the blocks brought to f32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace lexiscope {

struct GgufType {
  std::uint32_t number;  ///< ggml's
  std::string_view name;
  std::size_t block;                                       ///< elements that are stored together
  std::size_t bytes;                                       ///< of a block
  void (*dequantize)(const std::byte* block, float* out);  ///< null: there is no code for it
};

/// Null for a number that is unknown here.
const GgufType* find_gguf_type(std::uint32_t number) noexcept;

/// The f32 values of whole blocks, the same bits as ggml's own dequantize_row_*. type.dequantize is not null.
void dequantize(const GgufType& type, std::span<const std::byte> blocks, float* out);

}  // namespace lexiscope
