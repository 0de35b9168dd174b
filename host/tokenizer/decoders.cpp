// Decoders that join and change the spellings of tokens, and the choice of a decoder by its type.
#include <nlohmann/json.hpp>

#include "host/core/utf8.h"
#include "host/io/json_file.h"
#include "host/tokenizer/byte_level.h"
#include "host/tokenizer/component_kinds.h"
#include "host/tokenizer/metaspace.h"
#include "host/tokenizer/pattern.h"
#include "host/tokenizer/spec.h"
#include "host/tokenizer/word_piece.h"

namespace lexiscope {

using nlohmann::json;

namespace {

class DecoderSequence final : public Decoder {
 public:
  DecoderSequence(const json& spec, const std::string& where) {
    for (const json& stage : objects_field(spec, "decoders", where))
      stages_.push_back(make_decoder(stage, where + ": \"decoders\""));
  }

  void decode(std::vector<std::string>& pieces) const override {
    for (const auto& stage : stages_) stage->decode(pieces);
  }

 private:
  std::vector<std::unique_ptr<Decoder>> stages_;
};

class FuseDecoder final : public Decoder {
 public:
  void decode(std::vector<std::string>& pieces) const override {
    std::string joined;
    for (const std::string& piece : pieces) joined += piece;
    pieces.assign(1, joined);
  }
};

// Runs of "<0xE2>" become the characters that their bytes make, or U+FFFD for each byte where they make none.
class ByteFallbackDecoder final : public Decoder {
 public:
  void decode(std::vector<std::string>& pieces) const override {
    std::vector<std::string> decoded;
    std::string bytes;
    for (std::string& piece : pieces) {
      if (const int byte = byte_of(piece); byte >= 0) {
        bytes += static_cast<char>(byte);
      } else {
        flush(bytes, decoded);
        decoded.push_back(std::move(piece));
      }
    }
    flush(bytes, decoded);
    pieces = std::move(decoded);
  }

 private:
  static int digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
  }

  static int byte_of(const std::string& piece) {
    if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return -1;
    const int high = digit(piece[3]), low = digit(piece[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
  }

  static void flush(std::string& bytes, std::vector<std::string>& decoded) {
    if (bytes.empty()) return;
    if (is_utf8(bytes))
      decoded.push_back(bytes);
    else
      decoded.insert(decoded.end(), bytes.size(), std::string(kReplacementCharacter));
    bytes.clear();
  }
};

// Takes up to `start` and `stop` of one character from the ends of each piece.
class StripDecoder final : public Decoder {
 public:
  StripDecoder(const json& spec, const std::string& where)
      : start_(count_field(spec, "start", where)), stop_(count_field(spec, "stop", where)) {
    append_utf8(content_, character_field(spec, "content", where));
  }

  void decode(std::vector<std::string>& pieces) const override {
    for (std::string& piece : pieces) {
      std::string_view rest = piece;
      for (std::size_t i = 0; i < start_ && rest.starts_with(content_); ++i) rest.remove_prefix(content_.size());
      for (std::size_t i = 0; i < stop_ && rest.ends_with(content_); ++i) rest.remove_suffix(content_.size());
      piece = std::string(rest);
    }
  }

 private:
  std::string content_;
  std::size_t start_, stop_;
};

std::string replaced(const std::string& piece, const Pattern& pattern, std::string_view content) {
  std::string text;
  for (const TextPart& part : pattern.parts(piece))
    text += part.match ? content : std::string_view(piece).substr(part.begin, part.end - part.begin);
  return text;
}

class ReplaceDecoder final : public Decoder {
 public:
  ReplaceDecoder(const json& spec, const std::string& where)
      : pattern_(make_pattern(spec, where)), content_(string_field(spec, "content", where)) {}

  void decode(std::vector<std::string>& pieces) const override {
    for (std::string& piece : pieces) piece = replaced(piece, *pattern_, content_);
  }

 private:
  std::unique_ptr<Pattern> pattern_;
  std::string content_;
};

// The suffix that ends a word becomes a space, but not at the end of the text.
class BpeDecoder final : public Decoder {
 public:
  BpeDecoder(const json& spec, const std::string& where) : suffix_(make_literal(string_field(spec, "suffix", where))) {}

  void decode(std::vector<std::string>& pieces) const override {
    for (std::size_t i = 0; i < pieces.size(); ++i)
      pieces[i] = replaced(pieces[i], *suffix_, i + 1 < pieces.size() ? " " : "");
  }

 private:
  std::unique_ptr<Pattern> suffix_;
};

}  // namespace

std::unique_ptr<Decoder> make_decoder(const json& spec, const std::string& where) {
  const std::string& type = string_field(spec, "type", where);
  if (type == "Sequence") return std::make_unique<DecoderSequence>(spec, where);
  if (type == "ByteLevel") return make_byte_level_decoder(spec, where);
  if (type == "ByteFallback") return std::make_unique<ByteFallbackDecoder>();
  if (type == "Fuse") return std::make_unique<FuseDecoder>();
  if (type == "Strip") return std::make_unique<StripDecoder>(spec, where);
  if (type == "Replace") return std::make_unique<ReplaceDecoder>(spec, where);
  if (type == "BPEDecoder") return std::make_unique<BpeDecoder>(spec, where);
  if (type == "Metaspace") return make_metaspace_decoder(spec, where);
  if (type == "WordPiece") return make_word_piece_decoder(spec, where);
  fail_unsupported(spec, "type", where);
}

}  // namespace lexiscope
