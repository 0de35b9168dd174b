// What the writer and the reader of a run directory share.
#include "host/io/run_files.h"

#include <charconv>

#include "host/core/require.h"
#include "host/io/array_layout.h"
#include "host/io/json_file.h"
#include "host/io/npy_header.h"

namespace lexiscope {

using nlohmann::json;

namespace {

std::string unescape(std::string_view text, const std::string& where) {
  std::string token;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      token += text[i];
      continue;
    }
    const char escape = ++i < text.size() ? text[i] : '\0';
    switch (escape) {
      case 't':
        token += '\t';
        break;
      case 'n':
        token += '\n';
        break;
      case 'r':
        token += '\r';
        break;
      case '\\':
        token += '\\';
        break;
      default:
        fail(ErrorCode::kInvalidFile, "{}: has a backslash before none of t, n, r and backslash", where);
    }
  }
  return token;
}

void append_escaped(std::string& text, std::string_view token) {
  for (const char byte : token) switch (byte) {
      case '\t':
        text += "\\t";
        break;
      case '\n':
        text += "\\n";
        break;
      case '\r':
        text += "\\r";
        break;
      case '\\':
        text += "\\\\";
        break;
      default:
        text += byte;
    }
}

}  // namespace

std::string checksum_text(std::uint64_t checksum) { return fmt::format("xxh3-64:{:016x}", checksum); }

json describe_array(const std::string& file, DType dtype, const NpyWriter::Result& written) {
  return {{"file", file},
          {"dtype", npy_descr(dtype)},
          {"shape", written.shape},
          {"checksum", checksum_text(written.checksum)}};
}

NpyArray read_described_array(const std::filesystem::path& folder, const json& description, const std::string& where) {
  const std::filesystem::path path = folder / file_name_field(description, "file", where);
  const std::string name = path.string();
  NpyArray array = read_npy(path);
  const std::string& dtype = string_field(description, "dtype", where);
  if (dtype != npy_descr(array.dtype))
    fail(ErrorCode::kInvalidFile, "{}: dtype is {}, {} says {}", name, npy_descr(array.dtype), where, in_quotes(dtype));
  const auto shape = counts_field(description, "shape", where);
  if (shape != array.shape || array.fortran_order)
    fail(ErrorCode::kInvalidFile, "{}: shape is {}{}, {} says {} in C order", name, shape_text(array.shape),
         array.fortran_order ? " in Fortran order" : "", where, shape_text(shape));
  const std::string& wanted = string_field(description, "checksum", where);
  const std::string checksum = checksum_text(checksum_file(path));
  if (wanted != checksum)
    fail(ErrorCode::kInvalidFile, "{}: checksum is {}, {} says {}", name, checksum, where, in_quotes(wanted));
  return array;
}

json read_run_document(const std::filesystem::path& path) {
  json document = read_json_object(path);
  const std::string where = path.string();
  const std::size_t schema = count_field(document, "schema", where);
  if (schema != kRunSchema)
    fail(ErrorCode::kInvalidFile, "{}: \"schema\" is {}, this version reads {}", where, schema, kRunSchema);
  for (const auto& [name, description] : object_field(document, "arrays", where).items()) {
    const std::string place = fmt::format("{}: array {}", where, in_quotes(name));
    if (!description.is_object())
      fail(ErrorCode::kInvalidFile, "{} is {}, an object is needed", place, value_text(description));
    file_name_field(description, "file", place);
  }
  if (document.contains("tokens"))
    file_name_field(object_field(document, "tokens", where), "file", where + ": \"tokens\"");
  return document;
}

std::set<std::string> described_files(const json& document) {
  std::set<std::string> files;
  for (const json& description : document.at("arrays")) files.insert(description.at("file").get<std::string>());
  if (document.contains("tokens")) files.insert(document.at("tokens").at("file").get<std::string>());
  return files;
}

std::string token_line(std::size_t id, std::string_view token) {
  std::string line = fmt::format("{}\t", id);
  append_escaped(line, token);
  line += '\n';
  return line;
}

std::vector<std::string> tokens_from_text(std::string_view text, const std::string& path) {
  std::vector<std::string> tokens;
  while (!text.empty()) {
    const std::string where = fmt::format("{}: line {}", path, tokens.size() + 1);
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) fail(ErrorCode::kInvalidFile, "{} is cut short", where);
    const std::string_view line = text.substr(0, end);
    const std::string id = fmt::format("{}\t", tokens.size());
    if (!line.starts_with(id))
      fail(ErrorCode::kInvalidFile, "{} does not begin with the id {} and a tab", where, tokens.size());
    tokens.push_back(unescape(line.substr(id.size()), where));
    text.remove_prefix(end + 1);
  }
  return tokens;
}

}  // namespace lexiscope
