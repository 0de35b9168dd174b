// Unigram: of all ways to cut a piece into tokens the one whose scores, logarithms of probabilities, add up to most.
// Source: Kudo 2018, "Subword regularization", section 3.2, as sentencepiece and `tokenizers` apply it.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "host/tokenizer/components.h"

namespace lexiscope {

/// "vocab": [["token", score], ...], the place being the id; "unk_id" or null; "byte_fallback". Without an "unk_id"
/// tokenize() throws Error{kInvalidArgument} for a character that no token stands for.
std::unique_ptr<TokenModel> make_unigram(const nlohmann::json& spec, const std::string& where);

}  // namespace lexiscope
