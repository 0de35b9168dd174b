// Byte-pair encoding: a piece begins as its characters, and pairs of neighbours are merged, the earliest of the list of
// merges first. Source: Sennrich, Haddow and Birch, "Neural machine translation of rare words with subword units".
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "host/tokenizer/components.h"

namespace lexiscope {

std::unique_ptr<TokenModel> make_bpe(const nlohmann::json& spec, const std::string& where);

}  // namespace lexiscope
