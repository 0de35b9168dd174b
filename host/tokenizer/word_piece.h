// WordPiece: the longest token that a word begins with, again and again; a word that cannot be cut so is unknown.
// Source: Wu et al. 2016, "Google's neural machine translation system", section 4.1, as BERT applies it.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "host/tokenizer/components.h"

namespace lexiscope {

std::unique_ptr<TokenModel> make_word_piece(const nlohmann::json& spec, const std::string& where);
/// Joins continuations to what they continue and puts a space before all else; "cleanup" takes spaces from before
/// punctuation and English contractions.
std::unique_ptr<Decoder> make_word_piece_decoder(const nlohmann::json& spec, const std::string& where);

}  // namespace lexiscope
