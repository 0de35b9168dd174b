// Normalizers that change a text character by character or at a pattern, and the choice of a normalizer by its type.
#include <nlohmann/json.hpp>

#include "host/core/utf8.h"
#include "host/io/json_file.h"
#include "host/tokenizer/bert.h"
#include "host/tokenizer/byte_level.h"
#include "host/tokenizer/character_map.h"
#include "host/tokenizer/component_kinds.h"
#include "host/tokenizer/normal_forms.h"
#include "host/tokenizer/pattern.h"
#include "host/tokenizer/precompiled.h"
#include "host/tokenizer/spec.h"
#include "host/tokenizer/unicode.h"

namespace lexiscope {

using nlohmann::json;

namespace {

class NormalizerSequence final : public Normalizer {
 public:
  NormalizerSequence(const json& spec, const std::string& where) {
    for (const json& stage : objects_field(spec, "normalizers", where))
      stages_.push_back(make_normalizer(stage, where + ": \"normalizers\""));
  }

  AlignedText normalize(AlignedText text) const override {
    for (const auto& stage : stages_) text = stage->normalize(std::move(text));
    return text;
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> stages_;
};

std::u32string_view without_marks(char32_t character, std::span<char32_t, 3> room) {
  room[0] = character;
  return {room.data(), is_combining_mark(character) ? std::size_t{0} : std::size_t{1}};
}

bool within(char32_t character, char32_t first, char32_t last) { return character >= first && character <= last; }

// What sentencepiece's rule "nmt" leaves out and takes for a space.
std::u32string_view as_in_nmt(char32_t c, std::span<char32_t, 3> room) {
  const bool left_out = within(c, 0x1, 0x8) || c == 0xB || within(c, 0xE, 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F;
  const bool space = c == 0x9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 || within(c, 0x200B, 0x200F) ||
                     c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
  room[0] = space ? U' ' : c;
  return {room.data(), left_out ? std::size_t{0} : std::size_t{1}};
}

class StripNormalizer final : public Normalizer {
 public:
  StripNormalizer(const json& spec, const std::string& where)
      : left_(flag_field(spec, "strip_left", where)), right_(flag_field(spec, "strip_right", where)) {}

  AlignedText normalize(AlignedText from) const override {
    const std::string_view text = from.text();
    std::size_t begin = 0, end = 0;  // `end`: of the last character that is no white space
    bool seen = false;
    for (std::size_t at = 0; at < text.size(); at += character_bytes(text[at])) {
      if (is_white_space(character_at(text, at))) continue;
      if (!seen) begin = at;
      seen = true;
      end = at + character_bytes(text[at]);
    }
    if (!seen) return left_ || right_ ? AlignedText() : from;
    return from.slice(left_ ? begin : 0, right_ ? end : text.size());
  }

 private:
  bool left_, right_;
};

class ReplaceNormalizer final : public Normalizer {
 public:
  ReplaceNormalizer(const json& spec, const std::string& where)
      : pattern_(make_pattern(spec, where)), content_(string_field(spec, "content", where)) {}

  AlignedText normalize(AlignedText from) const override {
    AlignedText text;
    for (const TextPart& part : pattern_->parts(from.text())) {
      if (!part.match)
        text.append(from, part.begin, part.end);
      else  // what replaces a match stands for its last character, as in `tokenizers`
        text.append(content_, last_character(from, part.end));
    }
    return text;
  }

 private:
  static SourceRange last_character(const AlignedText& from, std::size_t end) {
    return end > 0 ? from.source(end - 1, end) : from.source(0, 0);
  }

  std::unique_ptr<Pattern> pattern_;
  std::string content_;
};

class PrependNormalizer final : public Normalizer {
 public:
  PrependNormalizer(const json& spec, const std::string& where) : prefix_(string_field(spec, "prepend", where)) {}
  AlignedText normalize(AlignedText text) const override { return with_prefix(prefix_, text); }

 private:
  std::string prefix_;
};

}  // namespace

std::unique_ptr<Normalizer> make_normalizer(const json& spec, const std::string& where) {
  const std::string& type = string_field(spec, "type", where);
  if (type == "Sequence") return std::make_unique<NormalizerSequence>(spec, where);
  if (type == "NFC") return make_normal_form(NormalForm::kNfc);
  if (type == "NFD") return make_normal_form(NormalForm::kNfd);
  if (type == "NFKC") return make_normal_form(NormalForm::kNfkc);
  if (type == "NFKD") return make_normal_form(NormalForm::kNfkd);
  if (type == "Lowercase") return make_character_map(lowercase);
  if (type == "StripAccents") return make_character_map(without_marks);
  if (type == "Nmt") return make_character_map(as_in_nmt);
  if (type == "Strip") return std::make_unique<StripNormalizer>(spec, where);
  if (type == "Replace") return std::make_unique<ReplaceNormalizer>(spec, where);
  if (type == "Prepend") return std::make_unique<PrependNormalizer>(spec, where);
  if (type == "ByteLevel") return make_byte_level_normalizer(spec, where);
  if (type == "BertNormalizer") return make_bert_normalizer(spec, where);
  if (type == "Precompiled") return make_precompiled(spec, where);
  fail_unsupported(spec, "type", where);
}

}  // namespace lexiscope
