// Fields of the JSON that describes a tokenizer, beside those of host/io/json_file.h. Errors are those that
// components.h says.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

namespace lexiscope {

bool flag_field(const nlohmann::json& spec, const char* key, const std::string& where);
/// `absent` where the field is missing or null.
bool flag_field(const nlohmann::json& spec, const char* key, bool absent, const std::string& where);
/// Nothing where the field is missing or null.
std::optional<std::string> optional_string_field(const nlohmann::json& spec, const char* key, const std::string& where);
/// A string of exactly one character.
char32_t character_field(const nlohmann::json& spec, const char* key, const std::string& where);
/// A list of objects.
const nlohmann::json& objects_field(const nlohmann::json& spec, const char* key, const std::string& where);
/// A token's id: an integer from 0 to 2^31 - 2.
std::int32_t id_value(const nlohmann::json& value, const std::string& where);

[[noreturn]] void fail_field(const nlohmann::json& value, const char* key, const std::string& where,
                             const char* needed);
/// Throws Error{kUnsupported} naming field and value.
[[noreturn]] void fail_unsupported(const nlohmann::json& spec, const char* key, const std::string& where);

}  // namespace lexiscope
