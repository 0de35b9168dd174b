// Reading a finished run: nothing is believed that the manifest does not confirm.
#include <xxhash.h>

#include "host/core/require.h"
#include "host/io/array_layout.h"
#include "host/io/json_file.h"
#include "host/io/mapped_file.h"
#include "host/io/run_directory.h"
#include "host/io/run_files.h"

namespace lexiscope {

RunReader::RunReader(std::filesystem::path path) : path_(std::move(path)) {
  std::error_code problem;
  if (!std::filesystem::exists(path_ / kManifestFile, problem))
    fail(ErrorCode::kInvalidFile, "{}: is not a finished run: there is no {}{}", path_.string(), kManifestFile,
         std::filesystem::exists(path_ / kUnfinishedFile, problem) ? ", the run can be resumed" : "");
  manifest_ = read_run_document(path_ / kManifestFile);
}

NpyArray RunReader::array(const std::string& name) const {
  const nlohmann::json& arrays = manifest_.at("arrays");
  const std::string where = (path_ / kManifestFile).string();
  if (!arrays.contains(name)) fail(ErrorCode::kInvalidFile, "{}: has no array {}", where, in_quotes(name));
  return read_described_array(path_, arrays.at(name), fmt::format("{}: array {}", kManifestFile, in_quotes(name)));
}

std::vector<std::string> RunReader::tokens() const {
  if (!manifest_.contains("tokens")) return {};
  const std::string where = fmt::format("{}: \"tokens\"", kManifestFile);
  const nlohmann::json& description = manifest_.at("tokens");
  const MappedFile file(path_ / file_name_field(description, "file", where));
  const std::string name = file.path().string();
  const std::string checksum = checksum_text(XXH3_64bits(file.bytes().data(), file.bytes().size()));
  if (const std::string& wanted = string_field(description, "checksum", where); wanted != checksum)
    fail(ErrorCode::kInvalidFile, "{}: checksum is {}, {} says {}", name, checksum, where, in_quotes(wanted));
  auto tokens = tokens_from_text({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()}, name);
  if (const std::size_t count = count_field(description, "count", where); count != tokens.size())
    fail(ErrorCode::kInvalidFile, "{}: holds {} tokens, {} says {}", name, tokens.size(), where, count);
  return tokens;
}

}  // namespace lexiscope
