// The merges of byte-pair encoding.
#include "host/tokenizer/merges.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <queue>
#include <tuple>

#include "host/core/require.h"
#include "host/io/array_layout.h"
#include "host/io/json_file.h"

namespace lexiscope {

using nlohmann::json;

namespace {

constexpr std::size_t kNone = SIZE_MAX;
constexpr std::size_t kFew = 24;  // symbols up to which a scan for the lowest rank is faster than a heap

std::uint64_t key(std::int32_t left, std::int32_t right) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 | static_cast<std::uint32_t>(right);
}

// The two tokens of "a b" or ["a", "b"].
std::pair<std::string, std::string> two_tokens(const json& merge, std::size_t rank, const std::string& where) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string())
    return {merge[0].get<std::string>(), merge[1].get<std::string>()};
  if (merge.is_string()) {
    const std::string& text = merge.get_ref<const std::string&>();
    const std::size_t space = text.find(' ');
    if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos)
      return {text.substr(0, space), text.substr(space + 1)};
  }
  fail(ErrorCode::kInvalidFile, "{}: merge {} is {}, two tokens are needed", where, rank, value_text(merge));
}

}  // namespace

Merges::Merges(const json& list, const Vocabulary& vocabulary, std::size_t prefix_bytes, const std::string& where) {
  merges_.reserve(list.size());
  std::uint32_t rank = 0;
  for (const json& merge : list) {
    const std::pair<std::string, std::string> tokens = two_tokens(merge, rank, where);
    const auto id_of = [&](const std::string& token) {
      const auto id = vocabulary.id_of(token);
      if (!id)
        fail(ErrorCode::kInvalidFile, "{}: merge {} ({} and {}) needs the token {}, which the vocabulary has not",
             where, rank, in_quotes(tokens.first), in_quotes(tokens.second), in_quotes(token));
      return *id;
    };
    const std::int32_t left = id_of(tokens.first), right = id_of(tokens.second);
    const std::int32_t whole = id_of(tokens.first + tokens.second.substr(std::min(prefix_bytes, tokens.second.size())));
    merges_.insert_or_assign(key(left, right), Merge{rank++, whole});
  }
}

const Merges::Merge* Merges::find(std::int32_t left, std::int32_t right) const {
  const auto found = merges_.find(key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

void Merges::apply(std::vector<Symbol>& symbols) const {
  if (symbols.size() <= kFew)
    apply_few(symbols);
  else
    apply_many(symbols);
}

void Merges::apply_few(std::vector<Symbol>& symbols) const {
  const Merge* found[kFew] = {};  // of each symbol with the next
  const auto look_up = [&](std::size_t i) {
    found[i] = i + 1 < symbols.size() ? find(symbols[i].id, symbols[i + 1].id) : nullptr;
  };
  for (std::size_t i = 0; i < symbols.size(); ++i) look_up(i);
  for (;;) {
    std::size_t best = kNone;
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i)
      if (found[i] && (best == kNone || found[i]->rank < found[best]->rank)) best = i;
    if (best == kNone) return;
    symbols[best] = {found[best]->id, symbols[best].begin, symbols[best + 1].end};
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    std::copy(found + best + 2, found + symbols.size() + 1, found + best + 1);
    look_up(best);
    if (best > 0) look_up(best - 1);
  }
}

void Merges::apply_many(std::vector<Symbol>& symbols) const {
  struct Candidate {
    std::uint32_t rank;
    std::size_t at;
    std::int32_t id;
    bool operator>(const Candidate& other) const { return std::tie(rank, at) > std::tie(other.rank, other.at); }
  };
  std::vector<std::size_t> next(symbols.size()), previous(symbols.size());
  std::vector<bool> gone(symbols.size());
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> candidates;
  const auto consider = [&](std::size_t at) {
    if (at == kNone || next[at] == kNone) return;
    if (const Merge* merge = find(symbols[at].id, symbols[next[at]].id)) candidates.push({merge->rank, at, merge->id});
  };
  for (std::size_t i = 0; i < symbols.size(); ++i) {
    previous[i] = i > 0 ? i - 1 : kNone;
    next[i] = i + 1 < symbols.size() ? i + 1 : kNone;
  }
  for (std::size_t i = 0; i < symbols.size(); ++i) consider(i);
  while (!candidates.empty()) {
    const Candidate top = candidates.top();
    candidates.pop();
    if (gone[top.at] || next[top.at] == kNone) continue;
    const std::size_t right = next[top.at];
    const Merge* merge = find(symbols[top.at].id, symbols[right].id);
    if (!merge || merge->id != top.id) continue;  // its neighbours have changed since
    symbols[top.at].id = top.id;
    symbols[top.at].end = symbols[right].end;
    gone[right] = true;
    next[top.at] = next[right];
    if (next[right] != kNone) previous[next[right]] = top.at;
    consider(previous[top.at]);
    consider(top.at);
  }
  std::size_t kept = 0;
  for (std::size_t i = 0; i < symbols.size(); ++i)
    if (!gone[i]) symbols[kept++] = symbols[i];
  symbols.resize(kept);
}

}  // namespace lexiscope
