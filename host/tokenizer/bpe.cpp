// Byte-pair encoding: a piece as characters that the vocabulary knows, then its merges.
#include "host/tokenizer/bpe.h"

#include <array>
#include <nlohmann/json.hpp>

#include "host/core/require.h"
#include "host/core/utf8.h"
#include "host/io/array_layout.h"
#include "host/io/json_file.h"
#include "host/tokenizer/merges.h"
#include "host/tokenizer/spec.h"
#include "host/tokenizer/vocabulary.h"

namespace lexiscope {

using nlohmann::json;

namespace {

class Bpe final : public TokenModel {
 public:
  Bpe(const json& spec, const std::string& where)
      : vocabulary_(field(spec, "vocab", where), where + ": \"vocab\""),
        prefix_(optional_string_field(spec, "continuing_subword_prefix", where).value_or("")),
        suffix_(optional_string_field(spec, "end_of_word_suffix", where).value_or("")),
        fuse_unknown_(flag_field(spec, "fuse_unk", false, where)),
        whole_first_(flag_field(spec, "ignore_merges", false, where)),
        merges_(list_field(spec, "merges", where), vocabulary_, prefix_.size(), where + ": \"merges\"") {
    if (const auto dropout = spec.find("dropout"); dropout != spec.end() && !dropout->is_null() && *dropout != 0)
      fail_unsupported(spec, "dropout", where);
    if (const auto unknown = optional_string_field(spec, "unk_token", where); unknown && !unknown->empty()) {
      unknown_ = vocabulary_.id_of(*unknown);
      if (!unknown_)
        fail(ErrorCode::kInvalidFile, "{}: \"unk_token\" is {}, which the vocabulary has not", where,
             in_quotes(*unknown));
    }
    if (flag_field(spec, "byte_fallback", false, where))
      for (unsigned byte = 0; byte < 256; ++byte) bytes_[byte] = vocabulary_.id_of(fmt::format("<0x{:02X}>", byte));
  }

  void tokenize(std::string_view piece, std::vector<PieceToken>& tokens) const override {
    if (piece.empty()) return;
    if (whole_first_)
      if (const auto id = vocabulary_.id_of(piece)) return tokens.push_back({*id, 0, piece.size()});
    std::vector<Symbol> symbols = characters(piece);
    merges_.apply(symbols);
    for (const Symbol& symbol : symbols) tokens.push_back({symbol.id, symbol.begin, symbol.end});
  }

  std::size_t size() const noexcept override { return vocabulary_.size(); }
  const std::string& token(std::int32_t id) const noexcept override { return vocabulary_.token(id); }
  std::optional<std::int32_t> id_of(std::string_view token) const override { return vocabulary_.id_of(token); }

 private:
  // A character that the vocabulary has not becomes its bytes where all of them are tokens, else the unknown token,
  // else nothing. An unknown token waits for the next known character, so bytes come before it: as in `tokenizers`.
  std::vector<Symbol> characters(std::string_view piece) const {
    std::vector<Symbol> symbols;
    std::optional<Symbol> unknown;
    std::string marked;
    for (std::size_t at = 0; at < piece.size();) {
      const std::size_t end = at + character_bytes(piece[at]);
      const std::string_view spelled = spelling(piece, at, end, marked);
      if (const auto id = vocabulary_.id_of(spelled)) {
        if (unknown) symbols.push_back(*unknown);
        unknown.reset();
        symbols.push_back({*id, at, end});
      } else if (!append_bytes(spelled, at, end, symbols) && unknown_) {
        if (unknown && fuse_unknown_) {
          unknown->end = end;
        } else {
          if (unknown) symbols.push_back(*unknown);
          unknown = Symbol{*unknown_, at, end};
        }
      }
      at = end;
    }
    if (unknown) symbols.push_back(*unknown);
    return symbols;
  }

  std::string_view spelling(std::string_view piece, std::size_t at, std::size_t end, std::string& marked) const {
    const std::string_view character = piece.substr(at, end - at);
    const bool prefixed = at > 0 && !prefix_.empty(), suffixed = end == piece.size() && !suffix_.empty();
    if (!prefixed && !suffixed) return character;
    marked.clear();
    if (prefixed) marked += prefix_;
    marked += character;
    if (suffixed) marked += suffix_;
    return marked;
  }

  bool append_bytes(std::string_view spelled, std::size_t at, std::size_t end, std::vector<Symbol>& symbols) const {
    for (const char byte : spelled)
      if (!bytes_[static_cast<unsigned char>(byte)]) return false;
    for (const char byte : spelled) {
      const std::size_t next = std::min(at + 1, end);
      symbols.push_back({*bytes_[static_cast<unsigned char>(byte)], std::min(at, end - 1), next});
      at = next;
    }
    return true;
  }

  Vocabulary vocabulary_;
  std::string prefix_, suffix_;
  bool fuse_unknown_, whole_first_;
  Merges merges_;
  std::optional<std::int32_t> unknown_;
  std::array<std::optional<std::int32_t>, 256> bytes_;
};

}  // namespace

std::unique_ptr<TokenModel> make_bpe(const json& spec, const std::string& where) {
  return std::make_unique<Bpe>(spec, where);
}

}  // namespace lexiscope
