// Added tokens: whole strings that are found in a text before its model sees it, special tokens among them.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "host/tokenizer/components.h"

namespace lexiscope {

struct AddedToken {
  std::int32_t id = 0;
  std::string content;
  bool single_word = false;  ///< found only where no word continues before or after it
  bool lstrip = false;       ///< takes the white space before it too
  bool rstrip = false;       ///< and that after it
  bool normalized = false;   ///< sought, itself normalized, in the normalized text; otherwise in the text as it came
  bool special = false;
};

/// Bytes [begin, end) of a text: an added token, or text without one.
struct AddedSplit {
  std::size_t begin = 0, end = 0;
  const AddedToken* token = nullptr;
};

/// Finds tokens from left to right, the longest where several begin at one place.
class AddedTokenFinder {
 public:
  struct Entry {
    std::string text;
    const AddedToken* token;
  };
  /// Throws Error{kInvalidFile} for a text that is empty or there twice.
  AddedTokenFinder(std::vector<Entry> entries, const std::string& where);
  std::vector<AddedSplit> split(std::string_view text) const;

 private:
  const Entry* longest_at(std::string_view text, std::size_t at) const;
  std::vector<Entry> entries_;  ///< sorted by text
};

/// The field "added_tokens" of a tokenizer.json; it may be missing.
class AddedTokens {
 public:
  /// Throws Error{kInvalidFile} naming the token: an id that is not the model's for a content the model has, that the
  /// model has for another, that is given twice or far beyond the vocabulary; a content that is empty or given twice.
  AddedTokens(const nlohmann::json& spec, const TokenModel& model, const Normalizer* normalizer,
              const std::string& where);
  AddedTokens(const AddedTokens&) = delete;
  AddedTokens& operator=(const AddedTokens&) = delete;

  const AddedTokenFinder& as_it_came() const noexcept { return *as_it_came_; }
  const AddedTokenFinder& normalized() const noexcept { return *normalized_; }

  std::size_t size() const noexcept { return size_; }  ///< 1 + the largest id; 0 where there are none
  const AddedToken* find(std::int32_t id) const;
  const AddedToken* find(std::string_view content) const;
  /// As decoders take it: normalized where it was so sought.
  const std::string& decoded(const AddedToken& token) const;
  bool is_special(std::string_view content) const;

 private:
  std::vector<AddedToken> tokens_;
  std::vector<std::string> normal_texts_;  ///< of each token
  std::unordered_map<std::int32_t, std::size_t> by_id_;
  std::unordered_map<std::string_view, std::size_t> by_content_;
  std::optional<AddedTokenFinder> as_it_came_, normalized_;
  std::size_t size_ = 0;
};

}  // namespace lexiscope
