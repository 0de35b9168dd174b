// Regular expressions from Oniguruma's syntax, which tokenizer.json is written in, to ICU's: the same characters must
// match, so classes are spelled out where the two differ in meaning or in their version of Unicode.
#pragma once

#include <string>
#include <string_view>

namespace lexiscope {

/// For ICU with UREGEX_MULTILINE and UREGEX_UNIX_LINES. Throws Error{kUnsupported} naming the construct and its offset
/// for what Oniguruma reads differently and no tokenizer is known to need; `where` as in components.h.
std::string icu_pattern(std::string_view oniguruma, const std::string& where);

}  // namespace lexiscope
