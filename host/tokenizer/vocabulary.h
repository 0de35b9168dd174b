// The tokens of a model and their ids, both ways.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace lexiscope {

class Vocabulary {
 public:
  /// From {"token": id, ...}. Throws Error{kInvalidFile} naming token and id: an id that is negative, given twice or
  /// beyond what a file of that many tokens may mean (a vocabulary with more gaps than tokens, and more than 2^20).
  Vocabulary(const nlohmann::json& tokens, const std::string& where);

  std::size_t size() const noexcept { return tokens_.size(); }  ///< 1 + the largest id
  const std::string& token(std::int32_t id) const noexcept { return tokens_[static_cast<std::size_t>(id)]; }
  std::optional<std::int32_t> id_of(std::string_view token) const;

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>()(text); }
  };
  std::vector<std::string> tokens_;  ///< by id; empty for a gap
  std::unordered_map<std::string, std::int32_t, Hash, std::equal_to<>> ids_;
};

}  // namespace lexiscope
