// JSON from files that nobody vouches for.
#include "host/io/json_file.h"

#include <set>

#include "host/core/require.h"
#include "host/io/array_layout.h"
#include "host/io/mapped_file.h"

namespace lexiscope {

using nlohmann::json;

namespace {

constexpr int kDeepest = 64;  // values are compared and printed by recursion: this bounds it

[[noreturn]] void fail_type(const json& value, std::string_view key, const std::string& where,
                            std::string_view needed) {
  fail(ErrorCode::kInvalidFile, "{}: \"{}\" is {}, {} is needed", where, key, value_text(value), needed);
}

}  // namespace

json parse_json(std::span<const std::byte> bytes, const std::string& name) {
  std::set<std::string> keys;
  const auto check = [&](int depth, json::parse_event_t event, json& parsed) {
    if (depth > kDeepest) fail(ErrorCode::kInvalidFile, "{}: is nested deeper than {}", name, kDeepest);
    if (event == json::parse_event_t::key && depth == 1 && !keys.insert(parsed.get_ref<std::string&>()).second)
      fail(ErrorCode::kInvalidFile, "{}: has {} twice", name, in_quotes(parsed.get_ref<std::string&>()));
    return true;
  };
  const char* text = reinterpret_cast<const char*>(bytes.data());
  try {
    return json::parse(text, text + bytes.size(), check);
  } catch (const json::parse_error& error) {
    fail(ErrorCode::kInvalidFile, "{}: is not valid JSON at byte {} of {}", name, error.byte, bytes.size());
  } catch (const json::exception&) {
    fail(ErrorCode::kInvalidFile, "{}: has a number beyond the range of doubles", name);
  }
}

json read_json_object(const std::filesystem::path& path) {
  json parsed = parse_json(MappedFile(path).bytes(), path.string());
  if (!parsed.is_object())
    fail(ErrorCode::kInvalidFile, "{}: is {}, an object is needed", path.string(), value_text(parsed));
  return parsed;
}

std::string value_text(const json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return fmt::format("a list of {}", value.size());
  if (value.is_string()) return in_quotes(value.get_ref<const std::string&>());
  return value.dump();
}

const json& field(const json& object, const char* key, const std::string& where) {
  const auto found = object.find(key);
  if (found == object.end()) fail(ErrorCode::kInvalidFile, "{}: \"{}\" is missing", where, key);
  return *found;
}

const std::string& string_field(const json& object, const char* key, const std::string& where) {
  const json& value = field(object, key, where);
  if (!value.is_string()) fail_type(value, key, where, "a string");
  return value.get_ref<const std::string&>();
}

const json& object_field(const json& object, const char* key, const std::string& where) {
  const json& value = field(object, key, where);
  if (!value.is_object()) fail_type(value, key, where, "an object");
  return value;
}

const json& list_field(const json& object, const char* key, const std::string& where) {
  const json& value = field(object, key, where);
  if (!value.is_array()) fail_type(value, key, where, "a list");
  return value;
}

std::size_t count_field(const json& object, const char* key, const std::string& where) {
  const json& value = field(object, key, where);
  if (!value.is_number_unsigned()) fail_type(value, key, where, "an integer of 0 or more");
  return value.get<std::size_t>();
}

std::vector<std::size_t> counts_field(const json& object, const char* key, const std::string& where) {
  std::vector<std::size_t> counts;
  for (const json& value : list_field(object, key, where)) {
    if (!value.is_number_unsigned())
      fail(ErrorCode::kInvalidFile, "{}: \"{}\" holds {}, integers of 0 or more are needed", where, key,
           value_text(value));
    counts.push_back(value.get<std::size_t>());
  }
  return counts;
}

const std::string& file_name_field(const json& object, const char* key, const std::string& where) {
  const std::string& name = string_field(object, key, where);
  require_plain_file_name(name, where);
  return name;
}

void require_plain_file_name(const std::string& name, std::string_view what) {
  if (name.empty() || name == "." || name == ".." ||
      name.find_first_of(std::string_view("/\0", 2)) != std::string::npos)
    fail(ErrorCode::kInvalidFile, "{}: {} is not the name of a file beside it", what, in_quotes(name));
}

}  // namespace lexiscope
