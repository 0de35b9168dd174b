// GPT-2's alphabet of bytes. Source: github.com/openai/gpt-2, encoder.py, bytes_to_unicode.
#include "host/tokenizer/byte_level.h"

#include <array>
#include <nlohmann/json.hpp>

#include "host/core/utf8.h"
#include "host/tokenizer/pattern.h"
#include "host/tokenizer/spec.h"

namespace lexiscope {

using nlohmann::json;

namespace {

constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

constexpr bool stands_for_itself(unsigned byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

struct Alphabet {
  std::array<std::string, 256> text;     ///< of each byte's character
  std::array<std::int16_t, 512> byte{};  ///< of each character, -1 where it is none of them

  Alphabet() {
    byte.fill(-1);
    char32_t next = 256;
    for (unsigned value = 0; value < 256; ++value) {
      const char32_t character = stands_for_itself(value) ? value : next++;
      append_utf8(text[value], character);
      byte[character] = static_cast<std::int16_t>(value);
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet alphabet;
  return alphabet;
}

AlignedText in_byte_characters(const AlignedText& from) {
  AlignedText text;
  for (std::size_t at = 0; at < from.size();) {
    const std::size_t end = at + character_bytes(from.text()[at]);
    const SourceRange source = from.source(at, end);
    for (; at < end; ++at) text.append(alphabet().text[static_cast<unsigned char>(from.text()[at])], source);
  }
  return text;
}

class ByteLevelNormalizer final : public Normalizer {
 public:
  AlignedText normalize(AlignedText text) const override { return in_byte_characters(text); }
};

class ByteLevelPreTokenizer final : public PreTokenizer {
 public:
  ByteLevelPreTokenizer(const json& spec, const std::string& where)
      : add_prefix_space_(flag_field(spec, "add_prefix_space", where)) {
    if (flag_field(spec, "use_regex", true, where)) pattern_ = make_regex(kGpt2Pattern, where);
  }

  void split(AlignedText piece, std::vector<AlignedText>& pieces) const override {
    if (add_prefix_space_ && !piece.text().starts_with(' ')) piece = with_prefix(" ", piece);
    if (!pattern_) return pieces.push_back(in_byte_characters(piece));
    for (const TextPart& part : pattern_->parts(piece.text()))
      if (part.begin < part.end) pieces.push_back(in_byte_characters(piece.slice(part.begin, part.end)));
  }

 private:
  bool add_prefix_space_;
  std::unique_ptr<Pattern> pattern_;
};

class ByteLevelDecoder final : public Decoder {
 public:
  void decode(std::vector<std::string>& pieces) const override {
    std::string bytes;
    for (const std::string& piece : pieces) append_bytes(piece, bytes);
    pieces.assign(1, replace_invalid_utf8(bytes));
  }

 private:
  // A piece with any other character in it (an added token) is text as it is.
  static void append_bytes(const std::string& piece, std::string& bytes) {
    const std::size_t before = bytes.size();
    for (std::size_t at = 0; at < piece.size(); at += character_bytes(piece[at])) {
      const char32_t character = character_at(piece, at);
      const int byte = character < alphabet().byte.size() ? alphabet().byte[character] : -1;
      if (byte < 0) {
        bytes.replace(before, std::string::npos, piece);
        return;
      }
      bytes += static_cast<char>(byte);
    }
  }
};

}  // namespace

std::unique_ptr<Normalizer> make_byte_level_normalizer(const json&, const std::string&) {
  return std::make_unique<ByteLevelNormalizer>();
}

std::unique_ptr<PreTokenizer> make_byte_level_pre_tokenizer(const json& spec, const std::string& where) {
  return std::make_unique<ByteLevelPreTokenizer>(spec, where);
}

std::unique_ptr<Decoder> make_byte_level_decoder(const json&, const std::string&) {
  return std::make_unique<ByteLevelDecoder>();
}

}  // namespace lexiscope
