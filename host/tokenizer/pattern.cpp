// Where a pattern occurs in a text: literal strings, and what is done with the parts. Regular expressions are in
// regex_pattern.cpp.
#include "host/tokenizer/pattern.h"

#include <algorithm>

#include "host/core/require.h"
#include "host/core/utf8.h"
#include "host/io/json_file.h"
#include "host/tokenizer/spec.h"

namespace lexiscope {

using nlohmann::json;

namespace {

class LiteralPattern final : public Pattern {
 public:
  explicit LiteralPattern(std::string literal) : literal_(std::move(literal)) {}

  std::vector<TextPart> parts(std::string_view text) const override {
    std::vector<TextPart> parts;
    std::size_t done = 0;
    for (std::size_t at = text.find(literal_); at < text.size(); at = text.find(literal_, next(text, at))) {
      if (at > done) parts.push_back({done, at, false});
      parts.push_back({at, at + literal_.size(), true});
      done = at + literal_.size();
    }
    if (done < text.size()) parts.push_back({done, text.size(), false});
    return parts;
  }

 private:
  // An empty literal matches before every character.
  std::size_t next(std::string_view text, std::size_t at) const {
    return at + (literal_.empty() ? character_bytes(text[at]) : literal_.size());
  }

  std::string literal_;
};

bool joins(const TextPart& part, bool previous_match, SplitBehavior behavior) {
  if (behavior == SplitBehavior::kContiguous) return part.match == previous_match;
  return part.match && !previous_match;
}

// Parts joined with their neighbours as the behaviour says, going from the first to the last.
std::vector<TextPart> join_parts(const std::vector<TextPart>& parts, SplitBehavior behavior) {
  std::vector<TextPart> joined;
  bool previous_match = false;
  for (const TextPart& part : parts) {
    if (!joined.empty() && joins(part, previous_match, behavior)) {
      joined.back().begin = std::min(joined.back().begin, part.begin);
      joined.back().end = std::max(joined.back().end, part.end);
    } else {
      joined.push_back({part.begin, part.end, false});
    }
    previous_match = part.match;
  }
  return joined;
}

std::vector<TextPart> arranged(std::vector<TextPart> parts, SplitBehavior behavior) {
  switch (behavior) {
    case SplitBehavior::kRemoved:
      std::erase_if(parts, [](const TextPart& part) { return part.match; });
      return parts;
    case SplitBehavior::kIsolated:
      return parts;
    case SplitBehavior::kMergedWithNext: {
      std::reverse(parts.begin(), parts.end());
      parts = join_parts(parts, behavior);
      std::reverse(parts.begin(), parts.end());
      return parts;
    }
    default:
      return join_parts(parts, behavior);
  }
}

}  // namespace

std::unique_ptr<Pattern> make_pattern(const json& spec, const std::string& where) {
  const json& pattern = object_field(spec, "pattern", where);
  if (pattern.contains("String")) return make_literal(string_field(pattern, "String", where + ": \"pattern\""));
  return make_regex(string_field(pattern, "Regex", where + ": \"pattern\""), where + ": \"pattern\"");
}

std::unique_ptr<Pattern> make_literal(std::string literal) {
  return std::make_unique<LiteralPattern>(std::move(literal));
}

std::vector<TextPart> parts_by_character(std::string_view text, const std::function<bool(char32_t)>& matches) {
  std::vector<TextPart> parts;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = at + character_bytes(text[at]);
    const bool match = matches(character_at(text, at));
    if (match || parts.empty() || parts.back().match)
      parts.push_back({at, end, match});
    else
      parts.back().end = end;
    at = end;
  }
  return parts;
}

SplitBehavior split_behavior(const json& spec, const std::string& where) {
  const std::string& name = string_field(spec, "behavior", where);
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  fail_unsupported(spec, "behavior", where);
}

void split_at(const AlignedText& text, const std::vector<TextPart>& parts, SplitBehavior behavior,
              std::vector<AlignedText>& pieces) {
  for (const TextPart& part : arranged(parts, behavior))
    if (part.begin < part.end) pieces.push_back(text.slice(part.begin, part.end));
}

}  // namespace lexiscope
