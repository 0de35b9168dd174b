// UTF-8: its characters, where it is broken, and what stands for broken parts.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace lexiscope {

/// The bytes of the character that `text` begins with, or 0 where it begins with none: overlong, a surrogate, beyond
/// U+10FFFF, cut short, empty. Unicode 15, table 3-7.
std::size_t utf8_length(std::string_view text) noexcept;

/// The offset of the first byte that belongs to no character.
std::optional<std::size_t> find_invalid_utf8(std::string_view text) noexcept;

inline bool is_utf8(std::string_view text) noexcept { return !find_invalid_utf8(text); }

/// The bytes of a character of valid UTF-8, from the first of them.
inline std::size_t character_bytes(char lead) noexcept {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

/// The character at byte `at` of valid UTF-8.
char32_t character_at(std::string_view text, std::size_t at) noexcept;

/// The number of characters in valid UTF-8.
inline std::size_t count_characters(std::string_view text) noexcept {
  std::size_t count = 0;
  for (std::size_t at = 0; at < text.size(); at += character_bytes(text[at])) ++count;
  return count;
}

void append_utf8(std::string& text, char32_t character);

/// U+FFFD, which stands for what is no character.
inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

/// With U+FFFD for each longest part that begins a character and does not end it, and for each other byte that belongs
/// to none (Unicode 15, section 3.9: substitution of maximal subparts).
std::string replace_invalid_utf8(std::string_view bytes);

}  // namespace lexiscope
