// JSON from files that nobody vouches for: bounded depth, checked fields, and errors that name file, field and value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lexiscope {

/// Parses `bytes`, which messages call `name`. Throws Error{kInvalidFile}: not JSON (at which byte), nested deeper than
/// 64, or a key of the outermost object there twice.
nlohmann::json parse_json(std::span<const std::byte> bytes, const std::string& name);

/// Reads a file that holds one JSON object. Throws as MappedFile and parse_json do.
nlohmann::json read_json_object(const std::filesystem::path& path);

/// A value fit for a message: scalars as they are (long strings cut), "an object", "a list of 3".
std::string value_text(const nlohmann::json& value);

/// A field of an object in a file, with the type it must have; Error{kInvalidFile} names file, field and value where it
/// is missing or something else. `where` names file and place: "model.safetensors: tensor \"x\"".
const nlohmann::json& field(const nlohmann::json& object, const char* key, const std::string& where);
const std::string& string_field(const nlohmann::json& object, const char* key, const std::string& where);
const nlohmann::json& object_field(const nlohmann::json& object, const char* key, const std::string& where);
const nlohmann::json& list_field(const nlohmann::json& object, const char* key, const std::string& where);
/// An integer of 0 or more, within 64 bits.
std::size_t count_field(const nlohmann::json& object, const char* key, const std::string& where);
std::vector<std::size_t> counts_field(const nlohmann::json& object, const char* key, const std::string& where);
/// The name of a file that lies beside this one: no folders in it, not "." or "..".
const std::string& file_name_field(const nlohmann::json& object, const char* key, const std::string& where);
void require_plain_file_name(const std::string& name, std::string_view what);

}  // namespace lexiscope
