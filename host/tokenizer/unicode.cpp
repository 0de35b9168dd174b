// Characters as Hugging Face's `tokenizers` classes them: ICU's answers, less and more by version of Unicode.
#include "host/tokenizer/unicode.h"

#include <unicode/uchar.h>

#include <algorithm>
#include <array>

namespace lexiscope {

namespace {

constexpr CategoryRange kSinceUnicode15[] = {
    {0x897, 0x897, "Mn"},     {0x1B4E, 0x1B4F, "Po"},   {0x1B7F, 0x1B7F, "Po"},   {0x1C89, 0x1C89, "Lu"},
    {0x1C8A, 0x1C8A, "Ll"},   {0x2427, 0x2429, "So"},   {0x2FFC, 0x2FFF, "So"},   {0x31E4, 0x31E5, "So"},
    {0x31EF, 0x31EF, "So"},   {0xA7CB, 0xA7CC, "Lu"},   {0xA7CD, 0xA7CD, "Ll"},   {0xA7DA, 0xA7DA, "Lu"},
    {0xA7DB, 0xA7DB, "Ll"},   {0xA7DC, 0xA7DC, "Lu"},   {0x105C0, 0x105F3, "Lo"}, {0x10D40, 0x10D49, "Nd"},
    {0x10D4A, 0x10D4D, "Lo"}, {0x10D4E, 0x10D4E, "Lm"}, {0x10D4F, 0x10D4F, "Lo"}, {0x10D50, 0x10D65, "Lu"},
    {0x10D69, 0x10D6D, "Mn"}, {0x10D6E, 0x10D6E, "Pd"}, {0x10D6F, 0x10D6F, "Lm"}, {0x10D70, 0x10D85, "Ll"},
    {0x10D8E, 0x10D8F, "Sm"}, {0x10EC2, 0x10EC4, "Lo"}, {0x10EFC, 0x10EFC, "Mn"}, {0x11380, 0x11389, "Lo"},
    {0x1138B, 0x1138B, "Lo"}, {0x1138E, 0x1138E, "Lo"}, {0x11390, 0x113B5, "Lo"}, {0x113B7, 0x113B7, "Lo"},
    {0x113B8, 0x113BA, "Mc"}, {0x113BB, 0x113C0, "Mn"}, {0x113C2, 0x113C2, "Mc"}, {0x113C5, 0x113C5, "Mc"},
    {0x113C7, 0x113CA, "Mc"}, {0x113CC, 0x113CD, "Mc"}, {0x113CE, 0x113CE, "Mn"}, {0x113CF, 0x113CF, "Mc"},
    {0x113D0, 0x113D0, "Mn"}, {0x113D1, 0x113D1, "Lo"}, {0x113D2, 0x113D2, "Mn"}, {0x113D3, 0x113D3, "Lo"},
    {0x113D4, 0x113D5, "Po"}, {0x113D7, 0x113D8, "Po"}, {0x113E1, 0x113E2, "Mn"}, {0x116D0, 0x116E3, "Nd"},
    {0x11BC0, 0x11BE0, "Lo"}, {0x11BE1, 0x11BE1, "Po"}, {0x11BF0, 0x11BF9, "Nd"}, {0x11F5A, 0x11F5A, "Mn"},
    {0x13460, 0x143FA, "Lo"}, {0x16100, 0x1611D, "Lo"}, {0x1611E, 0x16129, "Mn"}, {0x1612A, 0x1612C, "Mc"},
    {0x1612D, 0x1612F, "Mn"}, {0x16130, 0x16139, "Nd"}, {0x16D40, 0x16D42, "Lm"}, {0x16D43, 0x16D6A, "Lo"},
    {0x16D6B, 0x16D6C, "Lm"}, {0x16D6D, 0x16D6F, "Po"}, {0x16D70, 0x16D79, "Nd"}, {0x18CFF, 0x18CFF, "Lo"},
    {0x1CC00, 0x1CCEF, "So"}, {0x1CCF0, 0x1CCF9, "Nd"}, {0x1CD00, 0x1CEB3, "So"}, {0x1E5D0, 0x1E5ED, "Lo"},
    {0x1E5EE, 0x1E5EF, "Mn"}, {0x1E5F0, 0x1E5F0, "Lo"}, {0x1E5F1, 0x1E5FA, "Nd"}, {0x1E5FF, 0x1E5FF, "Po"},
    {0x1F8B2, 0x1F8BB, "So"}, {0x1F8C0, 0x1F8C1, "So"}, {0x1FA89, 0x1FA89, "So"}, {0x1FA8F, 0x1FA8F, "So"},
    {0x1FABE, 0x1FABE, "So"}, {0x1FAC6, 0x1FAC6, "So"}, {0x1FADC, 0x1FADC, "So"}, {0x1FADF, 0x1FADF, "So"},
    {0x1FAE9, 0x1FAE9, "So"}, {0x1FBCB, 0x1FBEF, "So"}, {0x2EBF0, 0x2EE5D, "Lo"}};

// The general category's letters for characters that ICU may not know yet; empty for all others.
std::string_view newer_category(char32_t character) {
  const auto found = std::lower_bound(std::begin(kSinceUnicode15), std::end(kSinceUnicode15), character,
                                      [](const CategoryRange& range, char32_t value) { return range.last < value; });
  return found != std::end(kSinceUnicode15) && found->first <= character ? found->category : std::string_view();
}

bool in_categories(char32_t character, std::uint32_t mask) {
  return (U_GET_GC_MASK(static_cast<UChar32>(character)) & mask) != 0;
}

bool assigned_by(char32_t character, int version) {
  UVersionInfo age;
  u_charAge(static_cast<UChar32>(character), age);
  return age[0] != 0 && age[0] <= version;
}

bool within(char32_t character, char32_t first, char32_t last) { return character >= first && character <= last; }

// How far the lower case of a letter of Unicode 16 or 17 is.
char32_t newer_lowercase(char32_t character) {
  if (within(character, 0x10D50, 0x10D65)) return character + 0x20;
  if (within(character, 0x16EA0, 0x16EB8)) return character + 0x1B;
  switch (character) {
    case 0xA7CB:
      return 0x264;
    case 0xA7DC:
      return 0x19B;
    case 0x1C89:
    case 0xA7CC:
    case 0xA7CE:
    case 0xA7D2:
    case 0xA7D4:
    case 0xA7DA:
      return character + 1;
    default:
      return character;
  }
}

}  // namespace

bool is_white_space(char32_t character) { return u_isUWhiteSpace(static_cast<UChar32>(character)) != 0; }

bool is_numeric(char32_t character) {
  return in_categories(character, U_GC_N_MASK) || newer_category(character).starts_with('N') ||
         within(character, 0x11DE0, 0x11DE9) || within(character, 0x16FF4, 0x16FF6);
}

bool is_word(char32_t character) {
  const auto code = static_cast<UChar32>(character);
  if (u_isUAlphabetic(code) || in_categories(character, U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK) ||
      u_hasBinaryProperty(code, UCHAR_JOIN_CONTROL))
    return true;
  const std::string_view category = newer_category(character);
  return category.starts_with('L') || category.starts_with('M') || category == "Nd";
}

bool is_punctuation(char32_t character) {
  if (character < 0x80) return u_ispunct(static_cast<UChar32>(character)) || in_categories(character, U_GC_S_MASK);
  if (character == 0x166D || character == 0x111C9) return true;  // a symbol and a mark since
  return in_categories(character, U_GC_P_MASK) && assigned_by(character, 8);
}

bool is_combining_mark(char32_t character) {
  if (character == 0x1CF2 || character == 0x1CF3) return true;  // letters since
  return in_categories(character, U_GC_M_MASK) && assigned_by(character, 9) && character != 0x111C9;
}

bool is_control(char32_t character) {
  return in_categories(character, U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CO_MASK) && assigned_by(character, 8);
}

bool is_nonspacing_mark(char32_t character) {
  if (character == 0x1734) return true;  // spacing since
  const bool since = character == 0x1885 || character == 0x1886 || character == 0xA9BD || character == 0x111C9;
  return in_categories(character, U_GC_MN_MASK) && assigned_by(character, 8) && !since;
}

bool is_newer_mark(char32_t character) {
  constexpr char32_t kOf17[][2] = {{0x1ACF, 0x1ADD},   {0x1AE0, 0x1AEB},   {0x10EFA, 0x10EFB}, {0x11B60, 0x11B67},
                                   {0x1E6E3, 0x1E6E3}, {0x1E6E6, 0x1E6E6}, {0x1E6EE, 0x1E6EF}, {0x1E6F5, 0x1E6F5}};
  return newer_category(character).starts_with('M') ||
         std::ranges::any_of(kOf17, [=](const auto& range) { return within(character, range[0], range[1]); });
}

bool is_in_unicode_9(char32_t character) { return assigned_by(character, 9); }

std::u32string_view lowercase(char32_t character, std::span<char32_t, 3> room) {
  if (character == 0x130) {  // the only letter whose lower case is two characters
    room[0] = U'i', room[1] = 0x307;
    return {room.data(), 2};
  }
  const auto lower = static_cast<char32_t>(u_tolower(static_cast<UChar32>(character)));
  room[0] = lower != character ? lower : newer_lowercase(character);
  return {room.data(), 1};
}

std::span<const CategoryRange> characters_since_unicode_15() { return kSinceUnicode15; }

}  // namespace lexiscope
