#include "host/tokenizer/word_piece.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "host/core/require.h"
#include "host/core/utf8.h"
#include "host/io/array_layout.h"
#include "host/io/json_file.h"
#include "host/tokenizer/spec.h"
#include "host/tokenizer/vocabulary.h"

namespace lexiscope {

using nlohmann::json;

namespace {

class WordPiece final : public TokenModel {
 public:
  WordPiece(const json& spec, const std::string& where)
      : vocabulary_(field(spec, "vocab", where), where + ": \"vocab\""),
        prefix_(optional_string_field(spec, "continuing_subword_prefix", where).value_or("##")),
        longest_word_(spec.contains("max_input_chars_per_word") ? count_field(spec, "max_input_chars_per_word", where)
                                                                : 100) {
    const std::string& unknown = string_field(spec, "unk_token", where);
    const auto id = vocabulary_.id_of(unknown);
    if (!id)
      fail(ErrorCode::kInvalidFile, "{}: \"unk_token\" is {}, which the vocabulary has not", where, in_quotes(unknown));
    unknown_ = *id;
    for (std::size_t i = 0; i < vocabulary_.size(); ++i)
      longest_token_ = std::max(longest_token_, vocabulary_.token(static_cast<std::int32_t>(i)).size());
  }

  void tokenize(std::string_view piece, std::vector<PieceToken>& tokens) const override {
    if (piece.empty()) return;
    const std::size_t before = tokens.size();
    const auto characters = std::ranges::count_if(piece, [](char byte) { return (byte & 0xC0) != 0x80; });
    if (static_cast<std::size_t>(characters) <= longest_word_ && cut(piece, tokens)) return;
    tokens.resize(before);
    tokens.push_back({unknown_, 0, piece.size()});
  }

  std::size_t size() const noexcept override { return vocabulary_.size(); }
  const std::string& token(std::int32_t id) const noexcept override { return vocabulary_.token(id); }
  std::optional<std::int32_t> id_of(std::string_view token) const override { return vocabulary_.id_of(token); }

 private:
  bool cut(std::string_view piece, std::vector<PieceToken>& tokens) const {
    std::string candidate;
    for (std::size_t begin = 0; begin < piece.size();) {
      candidate.assign(begin == 0 ? "" : prefix_);
      const std::size_t prefix = candidate.size();
      candidate += piece.substr(begin, longest_token_);
      while (candidate.size() > prefix && !utf8_ends(piece, begin + candidate.size() - prefix)) candidate.pop_back();
      std::optional<std::int32_t> id;
      while (candidate.size() > prefix && !(id = vocabulary_.id_of(candidate))) shorten(candidate);
      if (!id) return false;
      const std::size_t end = begin + candidate.size() - prefix;
      tokens.push_back({*id, begin, end});
      begin = end;
    }
    return true;
  }

  static bool utf8_ends(std::string_view text, std::size_t end) {
    return end >= text.size() || (text[end] & 0xC0) != 0x80;
  }

  static void shorten(std::string& text) {
    while ((text.back() & 0xC0) == 0x80) text.pop_back();
    text.pop_back();
  }

  Vocabulary vocabulary_;
  std::string prefix_;
  std::size_t longest_word_, longest_token_ = 0;
  std::int32_t unknown_ = 0;
};

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
}

class WordPieceDecoder final : public Decoder {
 public:
  WordPieceDecoder(const json& spec, const std::string& where)
      : prefix_(string_field(spec, "prefix", where)), clean_(flag_field(spec, "cleanup", where)) {}

  void decode(std::vector<std::string>& pieces) const override {
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      if (i > 0 && pieces[i].starts_with(prefix_))
        pieces[i].erase(0, prefix_.size());
      else if (i > 0)
        pieces[i].insert(0, 1, ' ');
      if (clean_) clean(pieces[i]);
    }
  }

 private:
  static void clean(std::string& piece) {
    constexpr std::pair<std::string_view, std::string_view> kContractions[] = {
        {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},   {" n't", "n't"},
        {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
    for (const auto& [from, to] : kContractions) replace_all(piece, from, to);
  }

  std::string prefix_;
  bool clean_;
};

}  // namespace

std::unique_ptr<TokenModel> make_word_piece(const json& spec, const std::string& where) {
  return std::make_unique<WordPiece>(spec, where);
}

std::unique_ptr<Decoder> make_word_piece_decoder(const json& spec, const std::string& where) {
  return std::make_unique<WordPieceDecoder>(spec, where);
}

}  // namespace lexiscope
