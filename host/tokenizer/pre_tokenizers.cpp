// Pre-tokenizers that cut a text at characters or patterns, and the choice of a pre-tokenizer by its type.
#include <nlohmann/json.hpp>

#include "host/core/utf8.h"
#include "host/io/json_file.h"
#include "host/tokenizer/bert.h"
#include "host/tokenizer/byte_level.h"
#include "host/tokenizer/component_kinds.h"
#include "host/tokenizer/metaspace.h"
#include "host/tokenizer/pattern.h"
#include "host/tokenizer/spec.h"
#include "host/tokenizer/unicode.h"

namespace lexiscope {

using nlohmann::json;

namespace {

class PreTokenizerSequence final : public PreTokenizer {
 public:
  PreTokenizerSequence(const json& spec, const std::string& where) {
    for (const json& stage : objects_field(spec, "pretokenizers", where))
      stages_.push_back(make_pre_tokenizer(stage, where + ": \"pretokenizers\""));
  }

  void split(AlignedText piece, std::vector<AlignedText>& pieces) const override {
    std::vector<AlignedText> from, to;
    from.push_back(std::move(piece));
    for (const auto& stage : stages_) {
      to.clear();
      for (AlignedText& part : from) stage->split(std::move(part), to);
      std::swap(from, to);
    }
    for (AlignedText& part : from) pieces.push_back(std::move(part));
  }

 private:
  std::vector<std::unique_ptr<PreTokenizer>> stages_;
};

class PatternSplit final : public PreTokenizer {
 public:
  PatternSplit(const json& spec, const std::string& where)
      : pattern_(make_pattern(spec, where)),
        behavior_(split_behavior(spec, where)),
        invert_(flag_field(spec, "invert", where)) {}

  void split(AlignedText piece, std::vector<AlignedText>& pieces) const override {
    std::vector<TextPart> parts = pattern_->parts(piece.text());
    if (invert_)
      for (TextPart& part : parts) part.match = !part.match;
    split_at(piece, parts, behavior_, pieces);
  }

 private:
  std::unique_ptr<Pattern> pattern_;
  SplitBehavior behavior_;
  bool invert_;
};

class CharacterSplit final : public PreTokenizer {
 public:
  CharacterSplit(std::function<bool(char32_t)> matches, SplitBehavior behavior)
      : matches_(std::move(matches)), behavior_(behavior) {}

  void split(AlignedText piece, std::vector<AlignedText>& pieces) const override {
    split_at(piece, parts_by_character(piece.text(), matches_), behavior_, pieces);
  }

 private:
  std::function<bool(char32_t)> matches_;
  SplitBehavior behavior_;
};

// \w+|[^\w\s]+: runs of word characters and runs of what is neither that nor white space.
class WordSplit final : public PreTokenizer {
 public:
  void split(AlignedText piece, std::vector<AlignedText>& pieces) const override {
    const std::string_view text = piece.text();
    std::size_t begin = 0;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = at + character_bytes(text[at]);
      const Kind kind = kind_of(character_at(text, at));
      if (end == text.size() || kind_of(character_at(text, end)) != kind) {
        if (kind != Kind::kSpace) pieces.push_back(piece.slice(begin, end));
        begin = end;
      }
      at = end;
    }
  }

 private:
  enum class Kind { kSpace, kWord, kOther };
  static Kind kind_of(char32_t character) {
    return is_word(character) ? Kind::kWord : is_white_space(character) ? Kind::kSpace : Kind::kOther;
  }
};

}  // namespace

std::unique_ptr<PreTokenizer> make_pre_tokenizer(const json& spec, const std::string& where) {
  const std::string& type = string_field(spec, "type", where);
  if (type == "Sequence") return std::make_unique<PreTokenizerSequence>(spec, where);
  if (type == "ByteLevel") return make_byte_level_pre_tokenizer(spec, where);
  if (type == "BertPreTokenizer") return make_bert_pre_tokenizer();
  if (type == "Metaspace") return make_metaspace_pre_tokenizer(spec, where);
  if (type == "Split") return std::make_unique<PatternSplit>(spec, where);
  if (type == "Whitespace") return std::make_unique<WordSplit>();
  if (type == "WhitespaceSplit") return std::make_unique<CharacterSplit>(is_white_space, SplitBehavior::kRemoved);
  if (type == "Punctuation")
    return std::make_unique<CharacterSplit>(
        is_punctuation, spec.contains("behavior") ? split_behavior(spec, where) : SplitBehavior::kIsolated);
  if (type == "Digits")
    return std::make_unique<CharacterSplit>(is_numeric, flag_field(spec, "individual_digits", where)
                                                            ? SplitBehavior::kIsolated
                                                            : SplitBehavior::kContiguous);
  if (type == "CharDelimiterSplit") {
    const char32_t delimiter = character_field(spec, "delimiter", where);
    return std::make_unique<CharacterSplit>([delimiter](char32_t character) { return character == delimiter; },
                                            SplitBehavior::kRemoved);
  }
  fail_unsupported(spec, "type", where);
}

}  // namespace lexiscope
