// Metaspace: sentencepiece's mark for a space, put in before words and taken out of tokens.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "host/tokenizer/components.h"

namespace lexiscope {

/// Spaces become "replacement", one of which goes before a piece that begins with none ("prepend_scheme": "always",
/// before the text's first piece alone "first", or "never"); the piece is cut before each unless "split" is false.
std::unique_ptr<PreTokenizer> make_metaspace_pre_tokenizer(const nlohmann::json& spec, const std::string& where);

/// "replacement" becomes a space; in the first token it goes, unless "prepend_scheme" is "never".
std::unique_ptr<Decoder> make_metaspace_decoder(const nlohmann::json& spec, const std::string& where);

}  // namespace lexiscope
