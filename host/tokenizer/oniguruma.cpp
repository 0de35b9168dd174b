// Regular expressions from Oniguruma's syntax to ICU's.
#include "host/tokenizer/oniguruma.h"

#include <algorithm>
#include <cctype>
#include <optional>

#include "host/core/require.h"
#include "host/core/utf8.h"
#include "host/io/array_layout.h"
#include "host/tokenizer/unicode.h"

namespace lexiscope {

namespace {

bool is_letter_or_digit(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

// "[\x{A7CB}-\x{A7CC}...]": the characters of a general category that ICU may not know yet.
std::string newer_characters(std::string_view category) {
  std::string set;
  for (const CategoryRange& range : characters_since_unicode_15())
    if (range.category.starts_with(category))
      set += fmt::format("\\x{{{:X}}}-\\x{{{:X}}}", static_cast<std::uint32_t>(range.first),
                         static_cast<std::uint32_t>(range.last));
  return set;
}

// Letters, marks, digits and connectors, as Oniguruma's \w in a set.
std::string word_set(bool negated) {
  return fmt::format("[{}\\p{{Alphabetic}}\\p{{M}}\\p{{Nd}}\\p{{Pc}}{}{}{}]", negated ? "^" : "", newer_characters("L"),
                     newer_characters("M"), newer_characters("Nd"));
}

// And as its \w and \b elsewhere, which take superscripts and fractions of Latin-1 as well.
std::string word_set_outside(bool negated) {
  return fmt::format("[{}{}\\u00B2\\u00B3\\u00B9\\u00BC-\\u00BE]", negated ? "^" : "", word_set(false));
}

std::string category_set(std::string_view category, bool negated) {
  if (category == "C" || category == "Cn") {
    const std::string newer = newer_characters("");
    return negated ? fmt::format("[\\P{{{}}}{}]", category, newer) : fmt::format("[\\p{{{}}}--[{}]]", category, newer);
  }
  return fmt::format("[{}\\p{{{}}}{}]", negated ? "^" : "", category, newer_characters(category));
}

constexpr std::string_view kCategories[] = {
    "L",  "Lu", "Ll", "Lt", "Lm", "Lo", "M",  "Mn", "Mc", "Me", "N",  "Nd", "Nl", "No", "P",  "Pc", "Pd", "Ps", "Pe",
    "Pi", "Pf", "Po", "S",  "Sm", "Sc", "Sk", "So", "Z",  "Zs", "Zl", "Zp", "C",  "Cc", "Cf", "Cn", "Co", "Cs"};
constexpr std::string_view kScripts[] = {"Han",      "Hiragana",   "Katakana", "Hangul",   "Latin",    "Greek",
                                         "Cyrillic", "Arabic",     "Hebrew",   "Thai",     "Lao",      "Khmer",
                                         "Tamil",    "Devanagari", "Bengali",  "Armenian", "Georgian", "Myanmar"};

class Translator {
 public:
  Translator(std::string_view pattern, const std::string& where) : pattern_(pattern), where_(where) {}

  std::string translate() {
    while (at_ < pattern_.size()) translate_next();
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse(std::size_t from, std::string_view what) const {
    fail(ErrorCode::kUnsupported, "{}: {} at byte {} of the regular expression {} is not supported", where_, what, from,
         in_quotes(pattern_));
  }

  bool looking_at(std::string_view text) const { return pattern_.substr(at_).starts_with(text); }
  char peek(std::size_t ahead) const { return at_ + ahead < pattern_.size() ? pattern_[at_ + ahead] : '\0'; }

  void copy(std::size_t bytes) {
    out_ += pattern_.substr(at_, bytes);
    at_ += bytes;
  }

  void translate_next() {
    switch (pattern_[at_]) {
      case '\\':
        return translate_escape(false);
      case '[':
        return translate_class();
      case '(':
        return translate_group();
      case '{':
        return translate_interval();
      case '}':
        out_ += "\\}";
        ++at_;
        return;
      default:
        copy(1);
    }
  }

  // What may stand after "(?": groups that capture nothing, look around, keep what they took, or ignore case.
  void translate_group() {
    if (peek(1) != '?') return copy(1);
    for (const std::string_view open : {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:", "(?-i:", "(?i)", "(?-i)"})
      if (looking_at(open)) return copy(open.size());
    refuse(at_, "the group \"(?\"");
  }

  // {n}, {n,}, {n,m}; any other brace is a character. After an interval '+' repeats it in Oniguruma but keeps what it
  // took in ICU, and {n}? is optional in the one and lazy in the other.
  void translate_interval() {
    std::size_t end = at_ + 1;
    while (end < pattern_.size() && std::isdigit(static_cast<unsigned char>(pattern_[end]))) ++end;
    const bool has_least = end > at_ + 1;
    const bool is_exact = end < pattern_.size() && pattern_[end] == '}';
    if (!is_exact && end < pattern_.size() && pattern_[end] == ',')
      for (++end; end < pattern_.size() && std::isdigit(static_cast<unsigned char>(pattern_[end]));) ++end;
    const bool closed = end < pattern_.size() && pattern_[end] == '}' && end > at_ + 1;
    if (closed && !has_least && end == at_ + 2) return escape_brace();
    if (!closed) return escape_brace();
    if (!has_least) refuse(at_, "an interval without its least count");
    copy(end + 1 - at_);
    if (peek(0) == '+' || (peek(0) == '?' && is_exact)) refuse(at_, fmt::format("'{}' after an interval", peek(0)));
  }

  void escape_brace() {
    out_ += "\\{";
    ++at_;
  }

  void translate_escape(bool in_class) {
    const char letter = peek(1);
    if (letter == '\0') refuse(at_, "a backslash at the end");
    if (letter == 'p' || letter == 'P') return translate_property();
    if (letter == 'x' || letter == 'u') return translate_code();
    if (!is_letter_or_digit(letter)) {
      at_ += 1;
      return literal(true);
    }
    const std::optional<std::string> spelled = in_class ? escape_in_class(letter) : escape_outside(letter);
    if (!spelled) refuse(at_, fmt::format("\"\\{}\"", letter));
    out_ += *spelled;
    at_ += 2;
  }

  static std::optional<std::string> escape_in_class(char letter) {
    switch (letter) {
      case 'w':
      case 'W':
        return word_set(letter == 'W');
      case 'd':
      case 'D':
        return category_set("Nd", letter == 'D');
      case 'h':
        return "[0-9A-Fa-f]";
      case 'H':
        return "[^0-9A-Fa-f]";
      case 'v':
        return "\\x0B";
      case 'b':
        return "\\x08";
      case 's':
      case 'S':
      case 'n':
      case 'r':
      case 't':
      case 'f':
      case 'a':
      case 'e':
        return std::string{'\\', letter};
      default:
        return std::nullopt;
    }
  }

  static std::optional<std::string> escape_outside(char letter) {
    const std::string in = word_set_outside(false);
    switch (letter) {
      case 'w':
      case 'W':
        return word_set_outside(letter == 'W');
      case 'b':
        return fmt::format("(?:(?<={0})(?!{0})|(?<!{0})(?={0}))", in);
      case 'B':
        return fmt::format("(?:(?<={0})(?={0})|(?<!{0})(?!{0}))", in);
      case 'A':
      case 'z':
      case 'Z':
        return std::string{'\\', letter};
      default:
        return std::isdigit(static_cast<unsigned char>(letter)) ? std::nullopt : escape_in_class(letter);
    }
  }

  void translate_code() {
    const bool braced = peek(2) == '{';
    std::size_t end = at_ + (braced ? 3 : 2);
    while (end < pattern_.size() && std::isxdigit(static_cast<unsigned char>(pattern_[end]))) ++end;
    if (braced)
      return peek(1) == 'x' && end < pattern_.size() && pattern_[end] == '}' ? copy(end + 1 - at_)
                                                                             : refuse(at_, "this escape");
    const std::size_t digits = peek(1) == 'x' ? 2 : 4;
    if (end < at_ + 2 + digits) refuse(at_, "this escape");
    copy(2 + digits);
  }

  void translate_property() {
    const std::size_t close = pattern_.find('}', at_);
    if (peek(2) != '{' || close == std::string_view::npos) refuse(at_, "a property without braces");
    std::string_view name = pattern_.substr(at_ + 3, close - at_ - 3);
    bool negated = peek(1) == 'P';
    if (name.starts_with('^')) {
      negated = !negated;
      name.remove_prefix(1);
    }
    if (std::find(std::begin(kCategories), std::end(kCategories), name) != std::end(kCategories))
      out_ += category_set(name, negated);
    else if (std::find(std::begin(kScripts), std::end(kScripts), name) != std::end(kScripts))
      out_ += fmt::format("[{}\\p{{{}}}{}]", negated ? "^" : "", name, name == "Han" ? "\\x{2EBF0}-\\x{2EE5D}" : "");
    else
      refuse(at_, fmt::format("the property {}", in_quotes(name)));
    at_ = close + 1;
  }

  // One character that stands for itself.
  void literal(bool escaped_already) {
    const std::size_t bytes = character_bytes(pattern_[at_]);
    if (bytes == 1 && (escaped_already || !is_letter_or_digit(pattern_[at_]))) out_ += '\\';
    copy(std::min(bytes, pattern_.size() - at_));
  }

  // A set: in ICU's more characters mean something than in Oniguruma's, so all that stand for themselves are escaped.
  void translate_class() {
    const std::size_t from = at_;
    copy(peek(1) == '^' ? 2 : 1);
    bool first = true, after_character = false;
    for (; at_ < pattern_.size(); first = false) {
      if (pattern_[at_] == ']' && !first) return copy(1);
      after_character = translate_class_item(after_character);
    }
    refuse(from, "a set that does not end");
  }

  // Returns whether the item is a character that a range may begin with.
  bool translate_class_item(bool after_character) {
    if (looking_at("[:")) refuse(at_, "a POSIX class");
    if (looking_at("[")) return translate_class(), false;
    if (looking_at("&&")) return copy(2), false;
    if (looking_at("-") && after_character && peek(1) != ']' && peek(1) != '[') return translate_range_end();
    if (!looking_at("\\")) return literal(false), true;
    const bool is_character = !std::isalpha(static_cast<unsigned char>(peek(1))) ||
                              std::string_view("xunrtfaevb").find(peek(1)) != std::string_view::npos;
    translate_escape(true);
    return is_character;
  }

  bool translate_range_end() {
    const std::size_t from = at_;
    copy(1);
    if (!looking_at("\\")) return literal(false), false;
    if (std::isalpha(static_cast<unsigned char>(peek(1))) &&
        std::string_view("xunrtfaevb").find(peek(1)) == std::string_view::npos)
      refuse(from, "a range that ends in a class");
    translate_escape(true);
    return false;
  }

  std::string_view pattern_;
  const std::string& where_;
  std::size_t at_ = 0;
  std::string out_;
};

}  // namespace

std::string icu_pattern(std::string_view oniguruma, const std::string& where) {
  return Translator(oniguruma, where).translate();
}

}  // namespace lexiscope
