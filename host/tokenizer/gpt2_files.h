// Tokenizers of GPT-2's kind from vocab.json and merges.txt, for folders without a tokenizer.json.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>

namespace lexiscope {

/// What the folder's files say, as a tokenizer.json says it: vocab.json {"token": id}, merges.txt (a merge a line, the
/// first line may tell a version); special tokens from tokenizer_config.json, special_tokens_map.json and
/// added_tokens.json where they are there, "<|endoftext|>" where they name none.
/// Throws Error{kInvalidFile} naming file, field and value for what is missing or malformed, Error{kUnsupported} where
/// tokenizer_config.json says that the tokenizer is of another kind.
nlohmann::json read_gpt2_files(const std::filesystem::path& folder);

}  // namespace lexiscope
