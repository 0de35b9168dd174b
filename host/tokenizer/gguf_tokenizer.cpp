#include "host/tokenizer/gguf_tokenizer.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <tuple>
#include <unordered_map>

#include "host/core/require.h"
#include "host/core/utf8.h"
#include "host/io/array_layout.h"

namespace lexiscope {

using nlohmann::json;

namespace {

constexpr const char *kTokens = "tokenizer.ggml.tokens", *kTypes = "tokenizer.ggml.token_type";
enum TokenType : std::int64_t { kUnknown = 2, kControl = 3, kUserDefined = 4 };

constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

json byte_level(bool with_pattern) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", with_pattern}};
}

json split_at_pattern(std::string_view pattern) {
  const json split{{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
  return {{"type", "Sequence"}, {"pretokenizers", {split, byte_level(false)}}};
}

// The pre-tokenizers by the names that llama.cpp gives them.
json pre_tokenizer_of(const GgufFile& file) {
  const std::string& name = file.text("tokenizer.ggml.pre");
  if (name == "gpt-2") return byte_level(true);
  if (name == "llama3" || name == "llama-v3" || name == "llama-bpe") return split_at_pattern(kLlama3);
  if (name == "qwen2") return split_at_pattern(kQwen2);
  if (name == "smollm" || name == "starcoder") {
    const json digits{{"type", "Digits"}, {"individual_digits", true}};
    return {{"type", "Sequence"}, {"pretokenizers", {digits, byte_level(true)}}};
  }
  fail(ErrorCode::kUnsupported,
       "{}: \"tokenizer.ggml.pre\" is {}; gpt-2, llama-bpe (llama3, llama-v3), qwen2, smollm and starcoder are "
       "supported",
       file.path(), in_quotes(name));
}

json vocabulary_of(const GgufFile& file) {
  const std::vector<std::string>& tokens = file.texts(kTokens);
  if (tokens.empty()) fail(ErrorCode::kInvalidFile, "{}: \"{}\" is empty", file.path(), kTokens);
  json vocabulary = json::object();
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    if (const auto at = find_invalid_utf8(tokens[id]))
      fail(ErrorCode::kInvalidFile, "{}: \"{}\": token {} is not UTF-8 at byte {}", file.path(), kTokens, id, *at);
    const auto [place, fresh] = vocabulary.emplace(tokens[id], id);
    if (!fresh)
      fail(ErrorCode::kInvalidFile, "{}: \"{}\": tokens {} and {} are both {}", file.path(), kTokens,
           place.value().get<std::size_t>(), id, in_quotes(tokens[id]));
  }
  return vocabulary;
}

void require_length(const GgufFile& file, const char* key, std::size_t length) {
  const std::size_t tokens = file.texts(kTokens).size();
  if (length != tokens)
    fail(ErrorCode::kInvalidFile, "{}: \"{}\" has {} elements, \"{}\" has {}", file.path(), key, length, kTokens,
         tokens);
}

json added_tokens_of(const GgufFile& file) {
  json added = json::array();
  if (!file.has(kTypes)) return added;
  const std::vector<std::int64_t>& types = file.integers(kTypes);
  require_length(file, kTypes, types.size());
  for (std::size_t id = 0; id < types.size(); ++id) {
    if (types[id] != kUnknown && types[id] != kControl && types[id] != kUserDefined) continue;
    const std::string& content = file.texts(kTokens)[id];
    if (content.empty()) continue;
    added.push_back({{"id", id}, {"content", content}, {"special", types[id] != kUserDefined}, {"normalized", false}});
  }
  return added;
}

const std::string* named_token(const GgufFile& file, const std::string& name) {
  const std::string key = "tokenizer.ggml." + name + "_token_id";
  if (!file.has(key)) return nullptr;
  const std::uint64_t id = file.count(key);
  const std::vector<std::string>& tokens = file.texts(kTokens);
  if (id >= tokens.size())
    fail(ErrorCode::kInvalidFile, "{}: \"{}\" is {}, \"{}\" has {} elements", file.path(), key, id, kTokens,
         tokens.size());
  return &tokens[id];
}

// The tokens that begin and end a text, where the file asks for them.
json post_processor_of(const GgufFile& file, bool begins) {
  json text = json::array(), special = json::object();
  const auto add = [&](const std::string& name, bool wanted) {
    const std::string key = "tokenizer.ggml.add_" + name + "_token";
    if (file.has(key)) wanted = file.flag(key);
    if (!wanted) return;
    const std::string* const token = named_token(file, name);
    if (!token)
      fail(ErrorCode::kInvalidFile, "{}: \"{}\" is true, but \"tokenizer.ggml.{}_token_id\" is missing", file.path(),
           key, name);
    const std::uint64_t id = file.count("tokenizer.ggml." + name + "_token_id");
    text.push_back({{"SpecialToken", {{"id", *token}, {"type_id", 0u}}}});
    special[*token] = {{"id", *token}, {"ids", {id}}, {"tokens", {*token}}};
  };
  add("bos", begins);
  text.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0u}}}});
  add("eos", false);
  json pair = text;
  pair.push_back({{"Sequence", {{"id", "B"}, {"type_id", 1u}}}});
  return {{"type", "TemplateProcessing"}, {"single", text}, {"pair", pair}, {"special_tokens", special}};
}

json describe_byte_level(const GgufFile& file) {
  const std::string& pre = file.text("tokenizer.ggml.pre");
  const bool llama3 = pre == "llama3" || pre == "llama-v3" || pre == "llama-bpe";
  json merges = json::array();
  for (const std::string& merge : file.texts("tokenizer.ggml.merges")) {
    if (!is_utf8(merge))
      fail(ErrorCode::kInvalidFile, "{}: \"tokenizer.ggml.merges\": merge {} is not UTF-8", file.path(), merges.size());
    merges.push_back(merge);
  }
  return {
      {"added_tokens", added_tokens_of(file)},
      {"pre_tokenizer", pre_tokenizer_of(file)},
      {"post_processor", post_processor_of(file, llama3)},
      {"decoder", byte_level(true)},
      {"model",
       {{"type", "BPE"}, {"vocab", vocabulary_of(file)}, {"merges", std::move(merges)}, {"ignore_merges", llama3}}}};
}

std::size_t characters_in(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, [](char byte) { return (byte & 0xC0) != 0x80; }));
}

// sentencepiece joins the two neighbours whose token has the highest score: the merges in that order. Every cut of a
// token into two tokens is one; of equal scores the longer left part comes first, as transformers orders them.
json merges_of_scores(const GgufFile& file) {
  const std::vector<std::string>& tokens = file.texts(kTokens);
  const std::vector<double>& scores = file.numbers("tokenizer.ggml.scores");
  require_length(file, "tokenizer.ggml.scores", scores.size());
  std::unordered_map<std::string_view, std::size_t> ids;
  for (std::size_t id = 0; id < tokens.size(); ++id) ids.emplace(tokens[id], id);

  struct Merge {
    double score;
    std::size_t left_length, right_length, left, right;
  };
  std::vector<Merge> merges;
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    const std::string_view token = tokens[id];
    std::vector<Merge> cuts;
    for (std::size_t at = token.empty() ? 0 : character_bytes(token[0]); at < token.size();
         at += character_bytes(token[at])) {
      const auto left = ids.find(token.substr(0, at)), right = ids.find(token.substr(at));
      if (left != ids.end() && right != ids.end())
        cuts.push_back(
            {scores[id], characters_in(left->first), characters_in(right->first), left->second, right->second});
    }
    std::ranges::sort(cuts, {}, [](const Merge& cut) { return std::pair(cut.left, cut.right); });
    merges.insert(merges.end(), cuts.begin(), cuts.end());
  }
  std::ranges::stable_sort(merges, std::greater<>(), [](const Merge& merge) {
    return std::tuple(merge.score, merge.left_length, merge.right_length);
  });
  json list = json::array();
  for (const Merge& merge : merges) list.push_back({tokens[merge.left], tokens[merge.right]});
  return list;
}

json describe_sentencepiece(const GgufFile& file) {
  const json spaces{{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "▁"}};
  json normalizer{{"type", "Sequence"}, {"normalizers", json::array()}};
  const bool prefix = !file.has("tokenizer.ggml.add_space_prefix") || file.flag("tokenizer.ggml.add_space_prefix");
  if (prefix) normalizer["normalizers"].push_back({{"type", "Prepend"}, {"prepend", "▁"}});
  normalizer["normalizers"].push_back(spaces);
  json decoders = {{{"type", "Replace"}, {"pattern", {{"String", "▁"}}}, {"content", " "}},
                   {{"type", "ByteFallback"}},
                   {{"type", "Fuse"}}};
  if (prefix) decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1u}, {"stop", 0u}});
  json model{{"type", "BPE"},
             {"vocab", vocabulary_of(file)},
             {"merges", merges_of_scores(file)},
             {"byte_fallback", true},
             {"fuse_unk", true}};
  if (const std::string* const unknown = named_token(file, "unknown")) model["unk_token"] = *unknown;
  return {{"added_tokens", added_tokens_of(file)},
          {"normalizer", normalizer},
          {"post_processor", post_processor_of(file, true)},
          {"decoder", {{"type", "Sequence"}, {"decoders", decoders}}},
          {"model", model}};
}

}  // namespace

json describe_gguf_tokenizer(const GgufFile& file) {
  const std::string& model = file.text("tokenizer.ggml.model");
  if (model == "gpt2") return describe_byte_level(file);
  if (model == "llama") return describe_sentencepiece(file);
  fail(ErrorCode::kUnsupported, "{}: \"tokenizer.ggml.model\" is {}; gpt2 and llama are supported", file.path(),
       in_quotes(model));
}

}  // namespace lexiscope
