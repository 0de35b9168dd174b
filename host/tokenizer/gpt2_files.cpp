// Tokenizers of GPT-2's kind from vocab.json and merges.txt.
#include "host/tokenizer/gpt2_files.h"

#include <algorithm>
#include <map>
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

// In the order in which transformers numbers those that have no id yet; the first three have a default.
constexpr const char* kNamedTokens[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                        "pad_token", "cls_token", "mask_token"};
constexpr std::size_t kWithDefault = 3;

constexpr const char* kDefaultToken = "<|endoftext|>";  // begins, ends and is unknown where no file names a token

json read_optional(const fs::path& path) {
  std::error_code problem;
  return fs::exists(path, problem) ? read_json_object(path) : json::object();
}

json read_merges(const fs::path& path) {
  const MappedFile file(path);
  std::string_view rest(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  if (const auto at = find_invalid_utf8(rest))
    fail(ErrorCode::kInvalidFile, "{}: is not UTF-8 at byte {}", path.string(), *at);
  json merges = json::array();
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty() && !line.starts_with("#version")) merges.push_back(line);
  }
  return merges;
}

void require_gpt2(const json& config, const std::string& where) {
  const auto name = optional_string_field(config, "tokenizer_class", where);
  if (name && *name != "GPT2Tokenizer" && *name != "GPT2TokenizerFast")
    fail(ErrorCode::kUnsupported,
         "{}: \"tokenizer_class\" is {}; without a tokenizer.json only GPT2Tokenizer is supported", where,
         in_quotes(*name));
}

struct NamedFile {
  std::string name;
  json content;
};

// The added tokens of a folder by content. Where several files name one, the first to do so counts.
class AddedTokenList {
 public:
  explicit AddedTokenList(const json& vocabulary) : vocabulary_(vocabulary) {
    for (const auto& item : vocabulary.items()) keep_free(item.value());
  }

  // "added_tokens_decoder" of tokenizer_config.json: {"50256": {"content": "<|endoftext|>", "special": true, ...}}.
  void add_decoder(const json& config, const std::string& where) {
    if (!config.contains("added_tokens_decoder")) return;
    const std::string place = where + ": \"added_tokens_decoder\"";
    for (const auto& [key, token] : object_field(config, "added_tokens_decoder", where).items()) {
      if (key.empty() || key.size() > 9 || key.find_first_not_of("0123456789") != std::string::npos)
        fail(ErrorCode::kInvalidFile, "{}: {} is not a token's id", place, in_quotes(key));
      if (!token.is_object()) fail_field(token, key.c_str(), place, "an object");
      json added = token;
      added["id"] = std::stoul(key);
      add(std::move(added), place);
    }
  }

  // added_tokens.json: {"token": id}.
  void add_ids(const json& ids) {
    for (const auto& [content, id] : ids.items()) {
      ids_[content] = id;
      keep_free(id);
    }
  }

  // "bos_token" and its like, each a string or an object with its "content", from the first file that has it; then
  // what either file has for "additional_special_tokens".
  void add_named(const NamedFile& config, const NamedFile& map) {
    for (std::size_t i = 0; i < std::size(kNamedTokens); ++i) {
      const char* key = kNamedTokens[i];
      const NamedFile& file = config.content.contains(key) ? config : map;
      if (const auto found = file.content.find(key); found == file.content.end()) {
        if (i < kWithDefault) add_special(kDefaultToken, key, file.name);
      } else if (!found->is_null()) {
        add_special(*found, key, file.name);
      }
    }
    for (const NamedFile* file : {&config, &map})
      for (const char* key : {"additional_special_tokens", "extra_special_tokens"}) {
        const auto found = file->content.find(key);
        if (found == file->content.end() || !found->is_array()) continue;
        for (const json& token : *found) add_special(token, key, file->name);
      }
  }

  void add_special(const json& token, const char* key, const std::string& where) {
    if (!token.is_string() && !token.is_object()) fail_field(token, key, where, "a token");
    json added = token.is_object() ? token : json{{"content", token}};
    added["special"] = true;
    added["normalized"] = false;
    add(std::move(added), fmt::format("{}: \"{}\"", where, key));
  }

  json finish() {
    for (const auto& [content, id] : ids_)
      if (!tokens_.contains(content)) add({{"content", content}, {"id", id}}, "added_tokens.json");
    json list = json::array();
    for (auto& [content, token] : tokens_) list.push_back(std::move(token));
    return list;
  }

 private:
  void add(json token, const std::string& where) {
    const std::string content = string_field(token, "content", where);
    if (tokens_.contains(content)) return;
    if (vocabulary_.contains(content))
      token["id"] = vocabulary_[content];
    else if (ids_.contains(content))
      token["id"] = ids_[content];
    else if (!token.contains("id"))
      token["id"] = next_id_;
    keep_free(token["id"]);
    tokens_.emplace(content, std::move(token));
  }

  // What is no id is told of where the tokens are put together.
  void keep_free(const json& id) {
    if (id.is_number_unsigned() && id.get<std::uint64_t>() < INT32_MAX)
      next_id_ = std::max(next_id_, id.get<std::uint64_t>() + 1);
  }

  const json& vocabulary_;
  std::uint64_t next_id_ = 0;
  std::map<std::string, json> ids_, tokens_;
};

std::string named_content(const char* key, const NamedFile& config, const NamedFile& map) {
  const json& file = config.content.contains(key) ? config.content : map.content;
  const auto found = file.find(key);
  if (found == file.end() || found->is_null()) return kDefaultToken;
  return (found->is_object() ? (*found)["content"] : *found).get<std::string>();
}

// The text between the two tokens that "add_bos_token" and "add_eos_token" ask for.
json template_of(const NamedFile& config, const NamedFile& map, const json& added) {
  json special = json::object(), single = json::array();
  const auto add = [&](const char* flag, const char* key) {
    if (!flag_field(config.content, flag, false, config.name)) return;
    const std::string content = named_content(key, config, map);
    const auto token =
        std::find_if(added.begin(), added.end(), [&](const json& entry) { return entry["content"] == content; });
    if (token == added.end())
      fail(ErrorCode::kInvalidFile, "{}: \"{}\" is true, but \"{}\" names no token", config.name, flag, key);
    special[content] = {{"ids", {(*token)["id"]}}, {"tokens", {content}}};
    single.push_back({{"SpecialToken", {{"id", content}}}});
  };
  add("add_bos_token", "bos_token");
  single.push_back({{"Sequence", {{"id", "A"}}}});
  add("add_eos_token", "eos_token");
  return {{"type", "TemplateProcessing"}, {"single", single}, {"special_tokens", special}};
}

}  // namespace

json read_gpt2_files(const fs::path& folder) {
  const auto read = [&](const char* name) { return NamedFile{(folder / name).string(), read_optional(folder / name)}; };
  const NamedFile config = read("tokenizer_config.json"), map = read("special_tokens_map.json");
  require_gpt2(config.content, config.name);
  const json vocabulary = read_json_object(folder / "vocab.json");
  AddedTokenList added(vocabulary);
  added.add_ids(read_optional(folder / "added_tokens.json"));
  added.add_decoder(config.content, config.name);
  added.add_named(config, map);
  const json added_tokens = added.finish();
  const json byte_level{{"type", "ByteLevel"},
                        {"add_prefix_space", flag_field(config.content, "add_prefix_space", false, config.name)},
                        {"trim_offsets", false}};
  return {{"added_tokens", added_tokens},
          {"pre_tokenizer", byte_level},
          {"post_processor", template_of(config, map, added_tokens)},
          {"decoder", byte_level},
          {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", read_merges(folder / "merges.txt")}}}};
}

}  // namespace lexiscope
