// The fields of a config.json, each read with the type it must have and a default where the format has one.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace lexiscope {

/// Fields of one JSON object. A field that is null counts as absent. Every function throws Error{kInvalidFile} naming
/// file, field and value for a field that is missing (without a default) or of another kind.
class JsonConfig {
 public:
  JsonConfig(const nlohmann::json& object, std::string where);

  const std::string& where() const noexcept { return where_; }
  bool has(const char* key) const;
  const nlohmann::json& object(const char* key) const;

  std::size_t count(const char* key) const;  ///< an integer of 1 or more
  std::size_t count_or(const char* key, std::size_t otherwise) const { return has(key) ? count(key) : otherwise; }
  double number_or(const char* key, double otherwise) const;
  double positive(const char* key) const;
  double positive_or(const char* key, double otherwise) const { return has(key) ? positive(key) : otherwise; }
  bool flag_or(const char* key, bool otherwise) const;
  std::string text(const char* key) const;
  std::string text_or(const char* key, std::string_view otherwise) const;

  /// Throws Error{kUnsupported} naming file, field and value where the field is there with another value than `only`.
  void require_only(const char* key, const nlohmann::json& only) const;

 private:
  const nlohmann::json& object_;
  std::string where_;
};

}  // namespace lexiscope
