#include "host/tokenizer/bert_files.h"

#include <nlohmann/json.hpp>

#include "host/core/require.h"
#include "host/core/utf8.h"
#include "host/io/array_layout.h"
#include "host/io/json_file.h"
#include "host/io/mapped_file.h"
#include "host/tokenizer/spec.h"

namespace lexiscope {

using nlohmann::json;

namespace fs = std::filesystem;

namespace {

json read_vocabulary(const fs::path& path) {
  const MappedFile file(path);
  std::string_view rest(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  if (const auto at = find_invalid_utf8(rest))
    fail(ErrorCode::kInvalidFile, "{}: is not UTF-8 at byte {}", path.string(), *at);
  json vocabulary = json::object();
  for (std::size_t id = 0; !rest.empty(); ++id) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    const auto [place, fresh] = vocabulary.emplace(line, id);
    if (!fresh)
      fail(ErrorCode::kInvalidFile, "{}: lines {} and {} are both {}", path.string(),
           place.value().get<std::size_t>() + 1, id + 1, in_quotes(line));
  }
  if (vocabulary.empty()) fail(ErrorCode::kInvalidFile, "{}: is empty, a token a line is needed", path.string());
  return vocabulary;
}

// A special token is a string or an object with its "content".
std::string special_token(const json& config, const char* key, const char* otherwise, const std::string& where) {
  const auto found = config.find(key);
  if (found == config.end() || found->is_null()) return otherwise;
  if (found->is_object()) return string_field(*found, "content", fmt::format("{}: \"{}\"", where, key));
  return string_field(config, key, where);
}

}  // namespace

json read_bert_files(const fs::path& folder) {
  const fs::path config_path = folder / "tokenizer_config.json", vocabulary_path = folder / "vocab.txt";
  const std::string where = config_path.string();
  std::error_code problem;
  const json config = fs::exists(config_path, problem) ? read_json_object(config_path) : json::object();
  if (const auto kind = optional_string_field(config, "tokenizer_class", where);
      kind && *kind != "BertTokenizer" && *kind != "BertTokenizerFast")
    fail(ErrorCode::kUnsupported,
         "{}: \"tokenizer_class\" is {}; with a vocab.txt alone only BertTokenizer is supported", where,
         in_quotes(*kind));
  const json vocabulary = read_vocabulary(vocabulary_path);

  json added = json::array();
  const auto id_of = [&](const char* key, const std::string& token) -> json {
    const auto found = vocabulary.find(token);
    if (found == vocabulary.end())
      fail(ErrorCode::kInvalidFile, "{}: has no token {}, the \"{}\"", vocabulary_path.string(), in_quotes(token), key);
    return *found;
  };
  const auto add = [&](const char* key, const char* otherwise, bool needed) {
    const std::string token = special_token(config, key, otherwise, where);
    if (!needed && !vocabulary.contains(token)) return json();
    added.push_back({{"id", id_of(key, token)}, {"content", token}, {"special", true}, {"normalized", false}});
    return json{token, id_of(key, token)};
  };
  const json unknown = add("unk_token", "[UNK]", true), begin = add("cls_token", "[CLS]", true),
             end = add("sep_token", "[SEP]", true);
  add("pad_token", "[PAD]", false);
  add("mask_token", "[MASK]", false);

  const auto accents = config.find("strip_accents");
  const json normalizer{{"type", "BertNormalizer"},
                        {"clean_text", true},
                        {"handle_chinese_chars", flag_field(config, "tokenize_chinese_chars", true, where)},
                        {"strip_accents", accents == config.end() ? json() : *accents},
                        {"lowercase", flag_field(config, "do_lower_case", true, where)}};
  return {{"added_tokens", added},
          {"normalizer", normalizer},
          {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
          {"post_processor", {{"type", "BertProcessing"}, {"sep", end}, {"cls", begin}}},
          {"decoder", {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}}},
          {"model", {{"type", "WordPiece"}, {"vocab", vocabulary}, {"unk_token", unknown[0]}}}};
}

}  // namespace lexiscope
