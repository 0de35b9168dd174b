// Characters as Hugging Face's `tokenizers` classes them. Its parts follow different versions of Unicode: 16 in regular
// expressions, 17 in the standard library of its language, 9 in normal forms and marks, 8 in punctuation. ICU may know
// fewer characters or more, so what differs is said here.
#pragma once

#include <span>
#include <string_view>

namespace lexiscope {

bool is_white_space(char32_t character);      ///< the property White_Space
bool is_numeric(char32_t character);          ///< general category N, Unicode 17
bool is_word(char32_t character);             ///< \w of UTS 18: letters, marks, decimal digits, connectors, joiners
bool is_punctuation(char32_t character);      ///< general category P of Unicode 8, and ASCII's $+<=>^`|~
bool is_combining_mark(char32_t character);   ///< general category M of Unicode 9
bool is_control(char32_t character);          ///< general categories Cc, Cf and Co of Unicode 8
bool is_nonspacing_mark(char32_t character);  ///< general category Mn of Unicode 8
bool is_newer_mark(char32_t character);       ///< general category M since Unicode 15.1, up to 17
bool is_in_unicode_9(char32_t character);     ///< assigned by then; normal forms leave the others alone

/// The lower case of one character, whatever its neighbours: one or two characters, of Unicode 17.
std::u32string_view lowercase(char32_t character, std::span<char32_t, 3> room);

/// Characters [first, last] of one general category ("Lu").
struct CategoryRange {
  char32_t first, last;
  std::string_view category;
};

/// What Unicode 15.1 and 16 added to 15.
std::span<const CategoryRange> characters_since_unicode_15();

}  // namespace lexiscope
