#include "host/model/json_config.h"

#include <cmath>

#include "host/core/require.h"
#include "host/io/json_file.h"

namespace lexiscope {

using nlohmann::json;

JsonConfig::JsonConfig(const json& object, std::string where) : object_(object), where_(std::move(where)) {
  if (!object.is_object()) fail(ErrorCode::kInvalidFile, "{} is {}, needs an object", where_, value_text(object));
}

bool JsonConfig::has(const char* key) const {
  const auto at = object_.find(key);
  return at != object_.end() && !at->is_null();
}

const json& JsonConfig::object(const char* key) const { return object_field(object_, key, where_); }

std::size_t JsonConfig::count(const char* key) const {
  const std::size_t value = count_field(object_, key, where_);
  constexpr std::size_t kMost = std::size_t{1} << 31;
  if (value == 0 || value > kMost)
    fail(ErrorCode::kInvalidFile, "{}: \"{}\" is {}, needs 1 to {}", where_, key, value, kMost);
  return value;
}

double JsonConfig::number_or(const char* key, double otherwise) const {
  if (!has(key)) return otherwise;
  const json& value = object_.at(key);
  if (!value.is_number() || !std::isfinite(value.get<double>()))
    fail(ErrorCode::kInvalidFile, "{}: \"{}\" is {}, needs a number", where_, key, value_text(value));
  return value.get<double>();
}

double JsonConfig::positive(const char* key) const {
  const json& value = field(object_, key, where_);
  if (!value.is_number() || !std::isfinite(value.get<double>()) || value.get<double>() <= 0)
    fail(ErrorCode::kInvalidFile, "{}: \"{}\" is {}, needs a positive number", where_, key, value_text(value));
  return value.get<double>();
}

bool JsonConfig::flag_or(const char* key, bool otherwise) const {
  if (!has(key)) return otherwise;
  const json& value = object_.at(key);
  if (!value.is_boolean())
    fail(ErrorCode::kInvalidFile, "{}: \"{}\" is {}, needs true or false", where_, key, value_text(value));
  return value.get<bool>();
}

std::string JsonConfig::text(const char* key) const { return string_field(object_, key, where_); }

std::string JsonConfig::text_or(const char* key, std::string_view otherwise) const {
  return has(key) ? text(key) : std::string(otherwise);
}

void JsonConfig::require_only(const char* key, const json& only) const {
  if (has(key) && object_.at(key) != only)
    fail(ErrorCode::kUnsupported, "{}: \"{}\" is {}; only {} is supported", where_, key, value_text(object_.at(key)),
         only.dump());
}

}  // namespace lexiscope
