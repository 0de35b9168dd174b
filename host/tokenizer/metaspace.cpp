#include "host/tokenizer/metaspace.h"

#include <nlohmann/json.hpp>

#include "host/core/require.h"
#include "host/core/utf8.h"
#include "host/tokenizer/pattern.h"
#include "host/tokenizer/spec.h"

namespace lexiscope {

using nlohmann::json;

namespace {

enum class PrependScheme { kAlways, kFirst, kNever };

PrependScheme prepend_scheme(const json& spec, const std::string& where) {
  const std::string scheme = optional_string_field(spec, "prepend_scheme", where).value_or("always");
  if (scheme != "always" && scheme != "first" && scheme != "never") fail_unsupported(spec, "prepend_scheme", where);
  if (!flag_field(spec, "add_prefix_space", true, where) && scheme != "never")
    fail(ErrorCode::kInvalidFile, "{}: \"add_prefix_space\" is false, but \"prepend_scheme\" is \"{}\"", where, scheme);
  return scheme == "always"  ? PrependScheme::kAlways
         : scheme == "first" ? PrependScheme::kFirst
                             : PrependScheme::kNever;
}

std::string in_utf8(char32_t character) {
  std::string text;
  append_utf8(text, character);
  return text;
}

class MetaspacePreTokenizer final : public PreTokenizer {
 public:
  MetaspacePreTokenizer(const json& spec, const std::string& where)
      : replacement_(character_field(spec, "replacement", where)),
        spelled_(in_utf8(replacement_)),
        scheme_(prepend_scheme(spec, where)),
        split_(flag_field(spec, "split", true, where)) {}

  void split(AlignedText piece, std::vector<AlignedText>& pieces) const override {
    AlignedText text = with_replacements(piece);
    if (text.empty()) return;
    const bool wanted = scheme_ == PrependScheme::kAlways ||
                        (scheme_ == PrependScheme::kFirst && text.source(0, text.size()).begin == 0);
    if (wanted && !text.text().starts_with(spelled_)) text = with_prefix(spelled_, text);
    if (!split_) return pieces.push_back(std::move(text));
    const auto matches = [this](char32_t character) { return character == replacement_; };
    split_at(text, parts_by_character(text.text(), matches), SplitBehavior::kMergedWithNext, pieces);
  }

 private:
  AlignedText with_replacements(const AlignedText& from) const {
    AlignedText text;
    std::size_t begin = 0;
    for (std::size_t at; (at = from.text().find(' ', begin)) != std::string::npos; begin = at + 1) {
      text.append(from, begin, at);
      text.append(spelled_, from.source(at, at + 1));
    }
    text.append(from, begin, from.size());
    return text;
  }

  char32_t replacement_;
  std::string spelled_;
  PrependScheme scheme_;
  bool split_;
};

class MetaspaceDecoder final : public Decoder {
 public:
  MetaspaceDecoder(const json& spec, const std::string& where)
      : spelled_(in_utf8(character_field(spec, "replacement", where))),
        prepends_(prepend_scheme(spec, where) != PrependScheme::kNever) {}

  void decode(std::vector<std::string>& pieces) const override {
    for (std::size_t i = 0; i < pieces.size(); ++i) pieces[i] = spaced(pieces[i], i == 0 && prepends_ ? "" : " ");
  }

 private:
  std::string spaced(std::string_view piece, std::string_view space) const {
    std::string text;
    for (std::size_t at; (at = piece.find(spelled_)) != std::string_view::npos;) {
      text += piece.substr(0, at);
      text += space;
      piece.remove_prefix(at + spelled_.size());
    }
    return text += piece;
  }

  std::string spelled_;
  bool prepends_;
};

}  // namespace

std::unique_ptr<PreTokenizer> make_metaspace_pre_tokenizer(const json& spec, const std::string& where) {
  return std::make_unique<MetaspacePreTokenizer>(spec, where);
}

std::unique_ptr<Decoder> make_metaspace_decoder(const json& spec, const std::string& where) {
  return std::make_unique<MetaspaceDecoder>(spec, where);
}

}  // namespace lexiscope
