// Where a pattern of a tokenizer.json occurs in a text, and the ways to cut the text there.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "host/tokenizer/aligned_text.h"

namespace lexiscope {

/// Bytes [begin, end) of a text: a match, or what lies between matches.
struct TextPart {
  std::size_t begin = 0, end = 0;
  bool match = false;
  bool operator==(const TextPart&) const = default;
};

class Pattern {
 public:
  virtual ~Pattern() = default;
  /// The parts that make up valid UTF-8 `text`, in order; of an empty text none. Empty matches lie between the others.
  /// Throws Error{kInvalidArgument} where a regular expression takes more time or memory than texts of that length may.
  virtual std::vector<TextPart> parts(std::string_view text) const = 0;
};

/// From {"String": "..."} or {"Regex": "..."}, a regular expression in Oniguruma's syntax.
std::unique_ptr<Pattern> make_pattern(const nlohmann::json& spec, const std::string& where);
std::unique_ptr<Pattern> make_literal(std::string literal);
std::unique_ptr<Pattern> make_regex(std::string_view oniguruma, const std::string& where);

/// Each character that `matches` is a match of its own.
std::vector<TextPart> parts_by_character(std::string_view text, const std::function<bool(char32_t)>& matches);

/// What becomes of the matches when a text is cut at them.
enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

/// From "Removed", "Isolated", ...
SplitBehavior split_behavior(const nlohmann::json& spec, const std::string& where);

/// Appends to `pieces` what is left of `text`, which has these `parts`, without empty pieces.
void split_at(const AlignedText& text, const std::vector<TextPart>& parts, SplitBehavior behavior,
              std::vector<AlignedText>& pieces);

}  // namespace lexiscope
