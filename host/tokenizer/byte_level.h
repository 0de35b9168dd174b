// GPT-2's alphabet, in which each of the 256 bytes is a visible character, so that a vocabulary of bytes is text: the
// normalizer, pre-tokenizer and decoder "ByteLevel".
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "host/tokenizer/components.h"

namespace lexiscope {

/// The character that stands for the byte of a space.
inline constexpr char32_t kByteLevelSpace = 0x120;

std::unique_ptr<Normalizer> make_byte_level_normalizer(const nlohmann::json& spec, const std::string& where);
std::unique_ptr<PreTokenizer> make_byte_level_pre_tokenizer(const nlohmann::json& spec, const std::string& where);
std::unique_ptr<Decoder> make_byte_level_decoder(const nlohmann::json& spec, const std::string& where);

}  // namespace lexiscope
