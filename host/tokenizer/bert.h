// BERT's own normalizer and pre-tokenizer.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "host/tokenizer/components.h"

namespace lexiscope {

/// "clean_text": controls go and white space becomes a space; "handle_chinese_chars": spaces around ideographs;
/// "strip_accents" (as "lowercase" where null): the marks of the decomposed text go; "lowercase".
std::unique_ptr<Normalizer> make_bert_normalizer(const nlohmann::json& spec, const std::string& where);

/// Cuts at white space, which goes, and makes each punctuation character a piece.
std::unique_ptr<PreTokenizer> make_bert_pre_tokenizer();

}  // namespace lexiscope
