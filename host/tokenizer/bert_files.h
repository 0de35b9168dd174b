// BERT's tokenizer from vocab.txt, for folders without a tokenizer.json.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>

namespace lexiscope {

/// What the folder's files say, as a tokenizer.json says it: vocab.txt (a token a line, its id the line's number from
/// 0) and, where it is there, tokenizer_config.json ("do_lower_case", "strip_accents", "tokenize_chinese_chars", and
/// the names of the special tokens). Throws Error{kInvalidFile} naming file and value for a token that is there twice
/// or a special token that is not there, Error{kUnsupported} where tokenizer_config.json says that the tokenizer is of
/// another kind.
nlohmann::json read_bert_files(const std::filesystem::path& folder);

}  // namespace lexiscope
