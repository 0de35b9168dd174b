// Fields of the JSON that describes a tokenizer.
#include "host/tokenizer/spec.h"

#include "host/core/require.h"
#include "host/core/utf8.h"
#include "host/io/json_file.h"

namespace lexiscope {

using nlohmann::json;

void fail_field(const json& value, const char* key, const std::string& where, const char* needed) {
  fail(ErrorCode::kInvalidFile, "{}: \"{}\" is {}, {} is needed", where, key, value_text(value), needed);
}

void fail_unsupported(const json& spec, const char* key, const std::string& where) {
  fail(ErrorCode::kUnsupported, "{}: \"{}\" is {}, which this version does not support", where, key,
       value_text(field(spec, key, where)));
}

bool flag_field(const json& spec, const char* key, const std::string& where) {
  const json& value = field(spec, key, where);
  if (!value.is_boolean()) fail_field(value, key, where, "true or false");
  return value.get<bool>();
}

bool flag_field(const json& spec, const char* key, bool absent, const std::string& where) {
  const auto found = spec.find(key);
  return found == spec.end() || found->is_null() ? absent : flag_field(spec, key, where);
}

std::optional<std::string> optional_string_field(const json& spec, const char* key, const std::string& where) {
  const auto found = spec.find(key);
  if (found == spec.end() || found->is_null()) return std::nullopt;
  return string_field(spec, key, where);
}

char32_t character_field(const json& spec, const char* key, const std::string& where) {
  const std::string& text = string_field(spec, key, where);
  if (text.empty() || utf8_length(text) != text.size()) fail_field(text, key, where, "one character");
  return character_at(text, 0);
}

const json& objects_field(const json& spec, const char* key, const std::string& where) {
  const json& list = list_field(spec, key, where);
  for (const json& value : list)
    if (!value.is_object())
      fail(ErrorCode::kInvalidFile, "{}: \"{}\" holds {}, objects are needed", where, key, value_text(value));
  return list;
}

std::int32_t id_value(const json& value, const std::string& where) {
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() >= INT32_MAX)
    fail(ErrorCode::kInvalidFile, "{} has the id {}, an integer from 0 to {} is needed", where, value_text(value),
         INT32_MAX - 1);
  return value.get<std::int32_t>();
}

}  // namespace lexiscope
