// What a reader takes for one character: a letter with its marks, a syllable of Hangul, a flag.
#pragma once

#include <cstddef>
#include <string_view>

namespace lexiscope {

/// The bytes of the extended grapheme cluster that valid UTF-8 `text`, not empty, begins with. Source: UAX 29, table 1b
/// and rules GB3 to GB13; without GB9c, which joins consonants of India's scripts.
std::size_t grapheme_bytes(std::string_view text);

}  // namespace lexiscope
