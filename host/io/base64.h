// Bytes written as text, four characters for three bytes. Source: RFC 4648, section 4.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace lexiscope {

/// The bytes; nothing for text that no bytes are written as: another character, a length that is no multiple of four,
/// padding elsewhere than at the end, bits set where no byte is left.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace lexiscope
