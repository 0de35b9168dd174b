// Makes a tokenizer, or one of its stages, from the JSON that tokenizer.json holds for it. `where` names file and place
// for messages; errors are those that components.h says.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "host/tokenizer/components.h"
#include "lexiscope/tokenizer.h"

namespace lexiscope {

/// Each chooses by the "type" of `spec`, an object; null pointers are not given.
std::unique_ptr<Normalizer> make_normalizer(const nlohmann::json& spec, const std::string& where);
std::unique_ptr<PreTokenizer> make_pre_tokenizer(const nlohmann::json& spec, const std::string& where);
std::unique_ptr<TokenModel> make_token_model(const nlohmann::json& spec, const std::string& where);
std::unique_ptr<Decoder> make_decoder(const nlohmann::json& spec, const std::string& where);

/// The whole of a tokenizer.json, whichever file its parts came from.
std::unique_ptr<Tokenizer> make_tokenizer(const nlohmann::json& spec, const std::string& where);

}  // namespace lexiscope
