// The tokens of a model and their ids.
#include "host/tokenizer/vocabulary.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "host/core/require.h"
#include "host/io/array_layout.h"
#include "host/io/json_file.h"
#include "host/tokenizer/spec.h"

namespace lexiscope {

using nlohmann::json;

namespace {

constexpr std::size_t kGapsAllowed = 1 << 20;

}  // namespace

Vocabulary::Vocabulary(const json& tokens, const std::string& where) {
  if (!tokens.is_object())
    fail(ErrorCode::kInvalidFile, "{} is {}, an object of tokens and their ids is needed", where, value_text(tokens));
  ids_.reserve(tokens.size());
  std::vector<bool> taken;
  for (const auto& [token, value] : tokens.items()) {
    const std::int32_t id = id_value(value, fmt::format("{}: token {}", where, in_quotes(token)));
    const auto place = static_cast<std::size_t>(id);
    if (place >= 2 * tokens.size() + kGapsAllowed)
      fail(ErrorCode::kInvalidFile, "{}: token {} has the id {} in a vocabulary of {} tokens", where, in_quotes(token),
           id, tokens.size());
    if (place >= tokens_.size()) {
      tokens_.resize(place + 1);
      taken.resize(place + 1);
    }
    if (taken[place])
      fail(ErrorCode::kInvalidFile, "{}: tokens {} and {} both have the id {}", where, in_quotes(tokens_[place]),
           in_quotes(token), id);
    taken[place] = true;
    tokens_[place] = token;
    ids_.emplace(token, id);
  }
}

std::optional<std::int32_t> Vocabulary::id_of(std::string_view token) const {
  const auto found = ids_.find(token);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace lexiscope
