#include "host/tokenizer/unigram.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <ranges>

#include "host/core/require.h"
#include "host/core/utf8.h"
#include "host/io/array_layout.h"
#include "host/io/json_file.h"
#include "host/tokenizer/prefix_tree.h"
#include "host/tokenizer/spec.h"

namespace lexiscope {

using nlohmann::json;

namespace {

constexpr double kUnknownPenalty = 10;  // an unknown character scores that much less than the worst token

double parsed(std::string_view text) {
  double value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// `tokenizers` reads a number as its digits, an integer, times or over a power of ten: two roundings, so that one in
// ten scores is not the nearest double. Scores that tie for us need not tie for it, so they are taken as it reads them.
// The digits are the fewest that tell the number from others, which is how files have them.
double as_tokenizers_reads(double score) {
  std::array<char, 32> room;
  const auto written = std::to_chars(room.begin(), room.end(), std::abs(score), std::chars_format::scientific);
  const std::string_view text(room.data(), static_cast<std::size_t>(written.ptr - room.data()));
  const std::size_t mark = text.find('e');
  std::string digits(text.substr(0, 1));
  if (mark > 2) digits += text.substr(2, mark - 2);
  int exponent = 0;
  const std::size_t number = mark + (text[mark + 1] == '+' ? 2 : 1);
  std::from_chars(text.data() + number, text.data() + text.size(), exponent);
  exponent -= static_cast<int>(digits.size()) - 1;
  if (std::abs(exponent) > 308) return score;
  const auto integer = static_cast<double>(std::stoull(digits));
  const double power = parsed(fmt::format("1e{}", std::abs(exponent)));
  return std::copysign(exponent < 0 ? integer / power : integer * power, score);
}

struct ScoredTokens {
  std::vector<std::string> tokens;
  std::vector<double> scores;
};

ScoredTokens read_vocabulary(const json& spec, const std::string& where) {
  const json& list = list_field(spec, "vocab", where);
  if (list.size() >= INT32_MAX) fail(ErrorCode::kInvalidFile, "{}: \"vocab\" has {} tokens", where, list.size());
  ScoredTokens vocabulary;
  for (const json& entry : list) {
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number())
      fail(ErrorCode::kInvalidFile, "{}: \"vocab\": token {} is {}, a token and its score are needed", where,
           vocabulary.tokens.size(), value_text(entry));
    vocabulary.tokens.push_back(entry[0].get<std::string>());
    vocabulary.scores.push_back(as_tokenizers_reads(entry[1].get<double>()));
  }
  return vocabulary;
}

std::optional<std::int32_t> read_unknown(const json& spec, std::size_t tokens, const std::string& where) {
  const auto found = spec.find("unk_id");
  if (found == spec.end() || found->is_null()) return std::nullopt;
  const std::size_t id = count_field(spec, "unk_id", where);
  if (id >= tokens) fail(ErrorCode::kInvalidFile, "{}: \"unk_id\" is {}, \"vocab\" has {} tokens", where, id, tokens);
  return static_cast<std::int32_t>(id);
}

class Unigram final : public TokenModel {
 public:
  Unigram(ScoredTokens vocabulary, std::optional<std::int32_t> unknown, bool byte_fallback)
      : tokens_(std::move(vocabulary.tokens)),
        scores_(std::move(vocabulary.scores)),
        tree_(tokens_),
        unknown_(unknown),
        byte_fallback_(byte_fallback) {
    if (!scores_.empty()) unknown_score_ = std::ranges::min(scores_) - kUnknownPenalty;
    for (unsigned byte = 0; byte < bytes_.size(); ++byte) bytes_[byte] = id_of(fmt::format("<0x{:02X}>", byte));
  }

  void tokenize(std::string_view piece, std::vector<PieceToken>& tokens) const override {
    for (const PieceToken& token : best_path(piece)) {
      if (token.id != unknown_)
        tokens.push_back(token);
      else
        append_unknown(piece, token, tokens);
    }
  }

  std::size_t size() const noexcept override { return tokens_.size(); }
  const std::string& token(std::int32_t id) const noexcept override { return tokens_[static_cast<std::size_t>(id)]; }

  std::optional<std::int32_t> id_of(std::string_view token) const override {
    std::optional<std::int32_t> whole;
    tree_.each_prefix(token, [&](std::size_t bytes, std::int32_t id) {
      if (bytes == token.size()) whole = id;
    });
    return whole;
  }

 private:
  // The best way to a byte of the piece: its score, and where its last token begins.
  struct Arrival {
    double score = 0;
    std::size_t begin = kNowhere;
    std::int32_t id = 0;
  };
  static constexpr std::size_t kNowhere = SIZE_MAX;

  // Of equal scores the path found first stays: the one whose last token is longest.
  static void arrive(Arrival& at, double score, std::size_t begin, std::int32_t id) {
    if (at.begin == kNowhere || score > at.score) at = {score, begin, id};
  }

  std::vector<Arrival> arrivals(std::string_view piece) const {
    std::vector<Arrival> best(piece.size() + 1);
    for (std::size_t at = 0; at < piece.size();) {
      const std::size_t character = character_bytes(piece[at]);
      const double score = best[at].score;
      bool known = false;
      tree_.each_prefix(piece.substr(at), [&](std::size_t bytes, std::int32_t id) {
        arrive(best[at + bytes], scores_[static_cast<std::size_t>(id)] + score, at, id);
        known = known || bytes == character;
      });
      if (!known) {
        if (!unknown_)
          fail(ErrorCode::kInvalidArgument, "the tokenizer has no token for {}, and none for what is unknown",
               in_quotes(piece.substr(at, character)));
        arrive(best[at + character], unknown_score_ + score, at, *unknown_);
      }
      at += character;
    }
    return best;
  }

  // Neighbours that are unknown are one token.
  std::vector<PieceToken> best_path(std::string_view piece) const {
    const std::vector<Arrival> best = arrivals(piece);
    std::vector<PieceToken> path;
    for (std::size_t end = piece.size(); end > 0; end = best[end].begin) {
      if (!path.empty() && path.back().id == unknown_ && best[end].id == unknown_)
        path.back().begin = best[end].begin;
      else
        path.push_back({best[end].id, best[end].begin, end});
    }
    std::ranges::reverse(path);
    return path;
  }

  void append_unknown(std::string_view piece, PieceToken unknown, std::vector<PieceToken>& tokens) const {
    const std::string_view text = piece.substr(unknown.begin, unknown.end - unknown.begin);
    const auto has_token = [this](char byte) { return bytes_[static_cast<unsigned char>(byte)].has_value(); };
    if (const auto id = id_of(text))
      tokens.push_back({*id, unknown.begin, unknown.end});
    else if (!byte_fallback_ || !std::ranges::all_of(text, has_token))
      tokens.push_back(unknown);
    else
      for (const char byte : text)
        tokens.push_back({*bytes_[static_cast<unsigned char>(byte)], unknown.begin, unknown.end});
  }

  std::vector<std::string> tokens_;
  std::vector<double> scores_;
  PrefixTree tree_;
  std::optional<std::int32_t> unknown_;
  double unknown_score_ = 0;
  bool byte_fallback_;
  std::array<std::optional<std::int32_t>, 256> bytes_;
};

}  // namespace

std::unique_ptr<TokenModel> make_unigram(const json& spec, const std::string& where) {
  ScoredTokens vocabulary = read_vocabulary(spec, where);
  const auto unknown = read_unknown(spec, vocabulary.tokens.size(), where);
  return std::make_unique<Unigram>(std::move(vocabulary), unknown, flag_field(spec, "byte_fallback", false, where));
}

}  // namespace lexiscope
