// The tokenizer that a GGUF file's metadata describes.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "host/io/gguf.h"

namespace lexiscope {

/// What the metadata says, as a tokenizer.json says it: byte-level BPE ("gpt2", with the pre-tokenizer that
/// "tokenizer.ggml.pre" names) and sentencepiece's BPE ("llama"), whose merges follow from the tokens' scores. Keys:
/// github.com/ggml-org/ggml/blob/master/docs/gguf.md. Throws Error{kInvalidFile} naming file, key and value for what is
/// missing or malformed, Error{kUnsupported} for another kind.
nlohmann::json describe_gguf_tokenizer(const GgufFile& file);

}  // namespace lexiscope
