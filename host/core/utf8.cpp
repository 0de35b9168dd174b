// UTF-8, after table 3-7 of Unicode 15.
#include "host/core/utf8.h"

namespace lexiscope {

namespace {

struct Sequence {
  std::size_t bytes = 0;  ///< that begin a character correctly
  bool whole = false;
};

// The second byte's range depends on the first: this keeps out overlong forms, surrogates and what is past U+10FFFF.
bool second_fits(unsigned first, unsigned second) {
  const unsigned lowest = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
  const unsigned highest = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
  return second >= lowest && second <= highest;
}

Sequence begin_of(std::string_view text) {
  if (text.empty()) return {};
  const unsigned first = static_cast<unsigned char>(text[0]);
  if (first < 0x80) return {1, true};
  if (first < 0xC2 || first > 0xF4) return {};
  const std::size_t needed = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  std::size_t bytes = 1;
  for (; bytes < needed && bytes < text.size(); ++bytes) {
    const unsigned byte = static_cast<unsigned char>(text[bytes]);
    if (bytes == 1 ? !second_fits(first, byte) : (byte & 0xC0u) != 0x80) break;
  }
  return {bytes, bytes == needed};
}

}  // namespace

std::size_t utf8_length(std::string_view text) noexcept {
  const Sequence sequence = begin_of(text);
  return sequence.whole ? sequence.bytes : 0;
}

std::optional<std::size_t> find_invalid_utf8(std::string_view text) noexcept {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t bytes = utf8_length(text.substr(at));
    if (bytes == 0) return at;
    at += bytes;
  }
  return std::nullopt;
}

char32_t character_at(std::string_view text, std::size_t at) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(text[at + i])); };
  const auto tail = [&](std::size_t i) { return byte(i) & 0x3F; };
  switch (character_bytes(text[at])) {
    case 1:
      return byte(0);
    case 2:
      return (byte(0) & 0x1F) << 6 | tail(1);
    case 3:
      return (byte(0) & 0x0F) << 12 | tail(1) << 6 | tail(2);
    default:
      return (byte(0) & 0x07) << 18 | tail(1) << 12 | tail(2) << 6 | tail(3);
  }
}

void append_utf8(std::string& text, char32_t character) {
  const auto tail = [&](unsigned shift) { text += static_cast<char>(0x80 | (character >> shift & 0x3F)); };
  if (character < 0x80) {
    text += static_cast<char>(character);
  } else if (character < 0x800) {
    text += static_cast<char>(0xC0 | character >> 6);
    tail(0);
  } else if (character < 0x10000) {
    text += static_cast<char>(0xE0 | character >> 12);
    tail(6), tail(0);
  } else {
    text += static_cast<char>(0xF0 | character >> 18);
    tail(12), tail(6), tail(0);
  }
}

std::string replace_invalid_utf8(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  while (!bytes.empty()) {
    const Sequence sequence = begin_of(bytes);
    const std::size_t length = sequence.bytes > 0 ? sequence.bytes : 1;
    text += sequence.whole ? bytes.substr(0, length) : kReplacementCharacter;
    bytes.remove_prefix(length);
  }
  return text;
}

}  // namespace lexiscope
