// The block formats of ggml-common.h and the arithmetic of ggml-quants.c, in its order and without fused operations, so
// that every bit is the same.
#include "host/io/gguf_blocks.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "host/io/convert.h"

namespace lexiscope {
namespace {

std::uint8_t byte_at(const std::byte* at) { return std::to_integer<std::uint8_t>(*at); }

std::uint16_t word_at(const std::byte* at) { return static_cast<std::uint16_t>(byte_at(at) | byte_at(at + 1) << 8); }

float half_at(const std::byte* at) { return f16_to_f32(word_at(at)); }

void f32(const std::byte* block, float* out) { std::memcpy(out, block, sizeof(float)); }
void f16(const std::byte* block, float* out) { *out = half_at(block); }
void bf16(const std::byte* block, float* out) { *out = bf16_to_f32(word_at(block)); }

constexpr int kSmallBlock = 32;  // elements

// 32 elements of 4 bits: the low halves of 16 bytes are the first 16, the high halves the others.
void q4_0(const std::byte* block, float* out) {
  const float scale = half_at(block);
  for (int i = 0; i < kSmallBlock / 2; ++i) {
    const int both = byte_at(block + 2 + i);
    out[i] = static_cast<float>((both & 15) - 8) * scale;
    out[i + kSmallBlock / 2] = static_cast<float>((both >> 4) - 8) * scale;
  }
}

void q4_1(const std::byte* block, float* out) {
  const float scale = half_at(block), minimum = half_at(block + 2);
  for (int i = 0; i < kSmallBlock / 2; ++i) {
    const int both = byte_at(block + 4 + i);
    out[i] = static_cast<float>(both & 15) * scale + minimum;
    out[i + kSmallBlock / 2] = static_cast<float>(both >> 4) * scale + minimum;
  }
}

void q8_0(const std::byte* block, float* out) {
  const float scale = half_at(block);
  for (int i = 0; i < kSmallBlock; ++i) out[i] = static_cast<float>(static_cast<std::int8_t>(block[2 + i])) * scale;
}

// Scale and minimum of part j of a super-block: 6 bits each, of 8 parts, in 12 bytes. The upper two bits of the last
// four lie above the first eight bytes' six.
struct PartScale {
  float scale, minimum;
};
PartScale part_scale(const std::byte* packed, int part) {
  const auto at = [&](int i) { return int{byte_at(packed + i)}; };
  if (part < 4) return {static_cast<float>(at(part) & 63), static_cast<float>(at(part + 4) & 63)};
  return {static_cast<float>((at(part + 4) & 15) | (at(part - 4) >> 6) << 4),
          static_cast<float>((at(part + 4) >> 4) | (at(part) >> 6) << 4)};
}

// 8 parts of 32 elements: two parts share 32 bytes, the first in the low halves.
void q4_k(const std::byte* block, float* out) {
  const float scale = half_at(block), minimum = half_at(block + 2);
  const std::byte *scales = block + 4, *quants = block + 16;
  for (int part = 0; part < 8; part += 2, quants += 32, out += 64) {
    const PartScale low = part_scale(scales, part), high = part_scale(scales, part + 1);
    const float low_scale = scale * low.scale, low_minimum = minimum * low.minimum;
    const float high_scale = scale * high.scale, high_minimum = minimum * high.minimum;
    for (int i = 0; i < 32; ++i) {
      const int both = byte_at(quants + i);
      out[i] = low_scale * static_cast<float>(both & 15) - low_minimum;
      out[i + 32] = high_scale * static_cast<float>(both >> 4) - high_minimum;
    }
  }
}

// Two halves of 128 elements: 4 lower bits in 64 bytes, 2 upper bits in 32, and 8 scales, each of 16 elements.
void q6_k(const std::byte* block, float* out) {
  const std::byte *low = block, *high = block + 128, *scales = block + 192;
  const float scale = half_at(block + 208);
  for (int half = 0; half < 2; ++half, out += 128, low += 64, high += 32, scales += 8)
    for (int i = 0; i < 32; ++i)
      for (int quarter = 0; quarter < 4; ++quarter) {
        const int four = byte_at(low + i + 32 * (quarter % 2)) >> (quarter < 2 ? 0 : 4) & 15;
        const int two = byte_at(high + i) >> (2 * quarter) & 3;
        const float part = static_cast<float>(static_cast<std::int8_t>(scales[i / 16 + 2 * quarter]));
        out[i + 32 * quarter] = scale * part * static_cast<float>((four | two << 4) - 32);
      }
}

// By number. Those without code are here for their sizes, so that a file that holds them can be checked.
constexpr GgufType kTypes[] = {
    {0, "F32", 1, 4, f32},
    {1, "F16", 1, 2, f16},
    {2, "Q4_0", 32, 18, q4_0},
    {3, "Q4_1", 32, 20, q4_1},
    {6, "Q5_0", 32, 22, nullptr},
    {7, "Q5_1", 32, 24, nullptr},
    {8, "Q8_0", 32, 34, q8_0},
    {9, "Q8_1", 32, 36, nullptr},
    {10, "Q2_K", 256, 84, nullptr},
    {11, "Q3_K", 256, 110, nullptr},
    {12, "Q4_K", 256, 144, q4_k},
    {13, "Q5_K", 256, 176, nullptr},
    {14, "Q6_K", 256, 210, q6_k},
    {15, "Q8_K", 256, 292, nullptr},
    {16, "IQ2_XXS", 256, 66, nullptr},
    {17, "IQ2_XS", 256, 74, nullptr},
    {18, "IQ3_XXS", 256, 98, nullptr},
    {19, "IQ1_S", 256, 50, nullptr},
    {20, "IQ4_NL", 32, 18, nullptr},
    {21, "IQ3_S", 256, 110, nullptr},
    {22, "IQ2_S", 256, 82, nullptr},
    {23, "IQ4_XS", 256, 136, nullptr},
    {24, "I8", 1, 1, nullptr},
    {25, "I16", 1, 2, nullptr},
    {26, "I32", 1, 4, nullptr},
    {27, "I64", 1, 8, nullptr},
    {28, "F64", 1, 8, nullptr},
    {29, "IQ1_M", 256, 56, nullptr},
    {30, "BF16", 1, 2, bf16},
};

}  // namespace

const GgufType* find_gguf_type(std::uint32_t number) noexcept {
  const auto* found = std::ranges::find(kTypes, number, &GgufType::number);
  return found == std::end(kTypes) ? nullptr : found;
}

void dequantize(const GgufType& type, std::span<const std::byte> blocks, float* out) {
  for (std::size_t at = 0; at < blocks.size(); at += type.bytes, out += type.block)
    type.dequantize(blocks.data() + at, out);
}

}  // namespace lexiscope
