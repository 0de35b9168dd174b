// The normalizer that sentencepiece compiles into its models: a table of what characters and short runs of them become.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "host/tokenizer/components.h"

namespace lexiscope {

/// "precompiled_charsmap" in base64: the bytes of a double array as little-endian u32, the array (darts-clone's), and
/// the replacements, each ended by a zero byte, whose places are the array's values. normalize() throws
/// Error{kInvalidFile} where the array leads out of itself or out of the replacements.
std::unique_ptr<Normalizer> make_precompiled(const nlohmann::json& spec, const std::string& where);

}  // namespace lexiscope
