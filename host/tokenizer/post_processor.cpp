// The last stage of encoding: special tokens and trimmed offsets.
#include "host/tokenizer/post_processor.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "host/core/require.h"
#include "host/core/utf8.h"
#include "host/io/array_layout.h"
#include "host/io/json_file.h"
#include "host/tokenizer/byte_level.h"
#include "host/tokenizer/spec.h"
#include "host/tokenizer/unicode.h"

namespace lexiscope {

using nlohmann::json;

namespace {

class PostProcessorSequence final : public PostProcessor {
 public:
  PostProcessorSequence(const json& spec, const std::string& where) {
    for (const json& stage : objects_field(spec, "processors", where))
      stages_.push_back(make_post_processor(stage, where + ": \"processors\""));
  }

  void process(std::vector<SpelledToken>& tokens, std::string_view text, bool special) const override {
    for (const auto& stage : stages_) stage->process(tokens, text, special);
  }
  void append_ids(std::vector<std::int32_t>& ids) const override {
    for (const auto& stage : stages_) stage->append_ids(ids);
  }

 private:
  std::vector<std::unique_ptr<PostProcessor>> stages_;
};

// Leaves the white space at a token's ends out of its offsets: as many characters of the text as its spelling has.
class OffsetTrimmer {
 public:
  OffsetTrimmer(const json& spec, const std::string& where)
      : trims_(flag_field(spec, "trim_offsets", where)), keeps_prefix_(flag_field(spec, "add_prefix_space", where)) {}

  void trim(std::vector<SpelledToken>& tokens, std::string_view text) const {
    if (!trims_) return;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      Token& token = tokens[i].token;
      std::size_t leading = leading_spaces(tokens[i].spelling), trailing = trailing_spaces(tokens[i].spelling);
      // One space at the beginning is the one that was put there, which no offset covers.
      if ((i == 0 || token.begin == 0) && keeps_prefix_ && leading == 1) leading = 0;
      for (; leading > 0 && token.begin < token.end; --leading) token.begin += character_bytes(text[token.begin]);
      trim_end(token, trailing, text);
    }
  }

 private:
  static bool is_space(char32_t character) { return character == kByteLevelSpace || is_white_space(character); }

  static std::size_t leading_spaces(std::string_view spelling) {
    std::size_t spaces = 0;
    for (std::size_t at = 0; at < spelling.size() && is_space(character_at(spelling, at)); ++spaces)
      at += character_bytes(spelling[at]);
    return spaces;
  }

  static std::size_t trailing_spaces(std::string_view spelling) {
    std::size_t spaces = 0;
    for (std::size_t at = 0; at < spelling.size(); at += character_bytes(spelling[at]))
      spaces = is_space(character_at(spelling, at)) ? spaces + 1 : 0;
    return spaces;
  }

  // Nothing is trimmed where the text before the token's end is shorter than that: as in `tokenizers`.
  static void trim_end(Token& token, std::size_t spaces, std::string_view text) {
    std::size_t end = token.end;
    for (; spaces > 0; --spaces) {
      if (end == 0) return;
      do --end;
      while ((static_cast<unsigned char>(text[end]) & 0xC0) == 0x80);
    }
    token.end = std::max(end, token.begin);
  }

  bool trims_, keeps_prefix_;
};

class ByteLevelPostProcessor final : public PostProcessor {
 public:
  ByteLevelPostProcessor(const json& spec, const std::string& where) : trimmer_(spec, where) {}
  void process(std::vector<SpelledToken>& tokens, std::string_view text, bool) const override {
    trimmer_.trim(tokens, text);
  }
  void append_ids(std::vector<std::int32_t>&) const override {}

 private:
  OffsetTrimmer trimmer_;
};

struct NamedToken {
  std::string name;
  std::int32_t id = 0;
};

// One token before and one after: "BertProcessing", and "RobertaProcessing", which trims offsets as well.
class Enclosing final : public PostProcessor {
 public:
  Enclosing(const json& spec, const std::string& where, bool trims)
      : first_(named_token(spec, "cls", where)), last_(named_token(spec, "sep", where)) {
    if (trims) trimmer_.emplace(spec, where);
  }

  void process(std::vector<SpelledToken>& tokens, std::string_view text, bool special) const override {
    if (trimmer_) trimmer_->trim(tokens, text);
    if (!special) return;
    tokens.insert(tokens.begin(), {{first_.id, 0, 0}, first_.name});
    tokens.push_back({{last_.id, 0, 0}, last_.name});
  }
  void append_ids(std::vector<std::int32_t>& ids) const override { ids.insert(ids.end(), {first_.id, last_.id}); }

 private:
  static NamedToken named_token(const json& spec, const char* key, const std::string& where) {
    const json& pair = list_field(spec, key, where);
    if (pair.size() != 2 || !pair[0].is_string()) fail_field(pair, key, where, "a list of a token and its id");
    return {pair[0].get<std::string>(), id_value(pair[1], fmt::format("{}: \"{}\"", where, key))};
  }

  NamedToken first_, last_;
  std::optional<OffsetTrimmer> trimmer_;
};

// A list of special tokens with the text among them.
class Template final : public PostProcessor {
 public:
  Template(const json& spec, const std::string& where) {
    const json& special = object_field(spec, "special_tokens", where);
    for (const json& piece : objects_field(spec, "single", where)) add_piece(piece, special, where + ": \"single\"");
  }

  void process(std::vector<SpelledToken>& tokens, std::string_view, bool special) const override {
    std::vector<SpelledToken> all;
    for (const std::optional<NamedToken>& piece : pieces_) {
      if (!piece)
        all.insert(all.end(), tokens.begin(), tokens.end());
      else if (special)
        all.push_back({{piece->id, 0, 0}, piece->name});
    }
    tokens = std::move(all);
  }
  void append_ids(std::vector<std::int32_t>& ids) const override {
    for (const std::optional<NamedToken>& piece : pieces_)
      if (piece) ids.push_back(piece->id);
  }

 private:
  void add_piece(const json& piece, const json& special, const std::string& where) {
    if (piece.contains("Sequence")) {
      const std::string place = where + ": \"Sequence\"";
      const std::string& id = string_field(object_field(piece, "Sequence", where), "id", place);
      if (id != "A") fail_field(id, "id", place, "\"A\"");
      pieces_.emplace_back();
      return;
    }
    const std::string place = where + ": \"SpecialToken\"";
    const std::string& name = string_field(object_field(piece, "SpecialToken", where), "id", place);
    const json& token = object_field(special, name.c_str(), where + ": \"special_tokens\"");
    const std::string token_place = fmt::format("{}: \"special_tokens\": {}", where, in_quotes(name));
    const json& spellings = list_field(token, "tokens", token_place);
    const json& ids = list_field(token, "ids", token_place);
    if (ids.size() != spellings.size())
      fail(ErrorCode::kInvalidFile, "{}: {} ids for {} tokens", token_place, ids.size(), spellings.size());
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (!spellings[i].is_string()) fail_field(spellings[i], "tokens", token_place, "strings");
      pieces_.emplace_back(NamedToken{spellings[i].get<std::string>(), id_value(ids[i], token_place)});
    }
  }

  std::vector<std::optional<NamedToken>> pieces_;  ///< nothing for the text
};

}  // namespace

std::unique_ptr<PostProcessor> make_post_processor(const json& spec, const std::string& where) {
  const std::string& type = string_field(spec, "type", where);
  if (type == "Sequence") return std::make_unique<PostProcessorSequence>(spec, where);
  if (type == "ByteLevel") return std::make_unique<ByteLevelPostProcessor>(spec, where);
  if (type == "BertProcessing") return std::make_unique<Enclosing>(spec, where, false);
  if (type == "RobertaProcessing") return std::make_unique<Enclosing>(spec, where, true);
  if (type == "TemplateProcessing") return std::make_unique<Template>(spec, where);
  fail_unsupported(spec, "type", where);
}

}  // namespace lexiscope
