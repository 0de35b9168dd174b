// Added tokens, found in a text before its model sees it.
#include "host/tokenizer/added_tokens.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "host/core/require.h"
#include "host/core/utf8.h"
#include "host/io/array_layout.h"
#include "host/io/json_file.h"
#include "host/tokenizer/spec.h"
#include "host/tokenizer/unicode.h"

namespace lexiscope {

using nlohmann::json;

namespace {

constexpr std::size_t kGapsAllowed = 1 << 20;  // ids that stand for no token

// Where the character before byte `at` begins.
std::size_t character_before(std::string_view text, std::size_t at) {
  do --at;
  while ((static_cast<unsigned char>(text[at]) & 0xC0) == 0x80);
  return at;
}

bool is_whole_word(std::string_view text, std::size_t begin, std::size_t end) {
  return (begin == 0 || !is_word(character_at(text, character_before(text, begin)))) &&
         (end == text.size() || !is_word(character_at(text, end)));
}

std::size_t before_white_space(std::string_view text, std::size_t at) {
  for (std::size_t before = at; before > 0; at = before) {
    before = character_before(text, before);
    if (!is_white_space(character_at(text, before))) break;
  }
  return at;
}

std::size_t after_white_space(std::string_view text, std::size_t at) {
  while (at < text.size() && is_white_space(character_at(text, at))) at += character_bytes(text[at]);
  return at;
}

AddedToken added_token(const json& spec, const std::string& where) {
  AddedToken token;
  token.content = string_field(spec, "content", where);
  const std::string place = fmt::format("{}: token {}", where, in_quotes(token.content));
  token.id = id_value(field(spec, "id", place), place);
  token.single_word = flag_field(spec, "single_word", false, place);
  token.lstrip = flag_field(spec, "lstrip", false, place);
  token.rstrip = flag_field(spec, "rstrip", false, place);
  token.special = flag_field(spec, "special", false, place);
  token.normalized = flag_field(spec, "normalized", !token.special, place);
  return token;
}

}  // namespace

AddedTokenFinder::AddedTokenFinder(std::vector<Entry> entries, const std::string& where)
    : entries_(std::move(entries)) {
  std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) { return a.text < b.text; });
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].text.empty())
      fail(ErrorCode::kInvalidFile, "{}: nothing is left of token {} when it is normalized", where,
           in_quotes(entries_[i].token->content));
    if (i > 0 && entries_[i].text == entries_[i - 1].text)
      fail(ErrorCode::kInvalidFile, "{}: tokens {} and {} are the same when normalized", where,
           in_quotes(entries_[i - 1].token->content), in_quotes(entries_[i].token->content));
  }
}

const AddedTokenFinder::Entry* AddedTokenFinder::longest_at(std::string_view text, std::size_t at) const {
  const Entry* longest = nullptr;
  auto first = entries_.begin(), last = entries_.end();  // those that begin as the text does from `at`
  for (std::size_t depth = 0; first != last && at + depth < text.size(); ++depth) {
    const auto next = static_cast<unsigned char>(text[at + depth]);
    const auto byte = [&](const Entry& entry) {  // an entry that ends here sorts first
      return depth < entry.text.size() ? static_cast<int>(static_cast<unsigned char>(entry.text[depth])) : -1;
    };
    first = std::partition_point(first, last, [&](const Entry& entry) { return byte(entry) < next; });
    last = std::partition_point(first, last, [&](const Entry& entry) { return byte(entry) == next; });
    if (first != last && first->text.size() == depth + 1) longest = &*first;
  }
  return longest;
}

std::vector<AddedSplit> AddedTokenFinder::split(std::string_view text) const {
  std::vector<AddedSplit> splits;
  std::size_t done = 0;
  for (std::size_t at = 0; at < text.size() && !entries_.empty();) {
    const Entry* found = longest_at(text, at);
    if (!found) {
      at += character_bytes(text[at]);
      continue;
    }
    std::size_t begin = at, end = at + found->text.size();
    at = end;
    if (found->token->single_word && !is_whole_word(text, begin, end)) continue;
    if (found->token->lstrip) begin = std::max(before_white_space(text, begin), done);
    if (found->token->rstrip) end = after_white_space(text, end);
    if (done < begin) splits.push_back({done, begin, nullptr});
    splits.push_back({begin, end, found->token});
    done = end;
  }
  if (done < text.size()) splits.push_back({done, text.size(), nullptr});
  return splits;
}

AddedTokens::AddedTokens(const json& spec, const TokenModel& model, const Normalizer* normalizer,
                         const std::string& file) {
  const std::string where = file + ": \"added_tokens\"";
  if (spec.contains("added_tokens"))
    for (const json& token : objects_field(spec, "added_tokens", file)) tokens_.push_back(added_token(token, where));
  std::vector<AddedTokenFinder::Entry> as_it_came, normalized;
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    const AddedToken& token = tokens_[i];
    const std::string shown = in_quotes(token.content);
    if (token.content.empty()) fail(ErrorCode::kInvalidFile, "{}: token {} is empty", where, i);
    if (!by_id_.emplace(token.id, i).second)
      fail(ErrorCode::kInvalidFile, "{}: token {} has the id {}, which another has too", where, shown, token.id);
    if (!by_content_.emplace(token.content, i).second)
      fail(ErrorCode::kInvalidFile, "{}: token {} is there twice", where, shown);
    if (const auto id = model.id_of(token.content); id && *id != token.id)
      fail(ErrorCode::kInvalidFile, "{}: token {} has the id {}, in the model's vocabulary it is {}", where, shown,
           token.id, *id);
    const auto place = static_cast<std::size_t>(token.id);
    if (place < model.size() && !model.token(token.id).empty() && model.token(token.id) != token.content)
      fail(ErrorCode::kInvalidFile, "{}: token {} has the id {}, which is {} in the model's vocabulary", where, shown,
           token.id, in_quotes(model.token(token.id)));
    if (place >= model.size() + tokens_.size() + kGapsAllowed)
      fail(ErrorCode::kInvalidFile, "{}: token {} has the id {}, the vocabulary has {}", where, shown, token.id,
           model.size());
    size_ = std::max(size_, place + 1);
    normal_texts_.push_back(token.normalized && normalizer ? normalizer->normalize(AlignedText(token.content)).text()
                                                           : token.content);
    (token.normalized ? normalized : as_it_came).push_back({normal_texts_.back(), &token});
  }
  as_it_came_.emplace(std::move(as_it_came), where);
  normalized_.emplace(std::move(normalized), where);
}

const AddedToken* AddedTokens::find(std::int32_t id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &tokens_[found->second];
}

const AddedToken* AddedTokens::find(std::string_view content) const {
  const auto found = by_content_.find(content);
  return found == by_content_.end() ? nullptr : &tokens_[found->second];
}

const std::string& AddedTokens::decoded(const AddedToken& token) const {
  return normal_texts_[static_cast<std::size_t>(&token - tokens_.data())];
}

bool AddedTokens::is_special(std::string_view content) const {
  const AddedToken* token = find(content);
  return token && token->special;
}

}  // namespace lexiscope
